#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dstack::shim::host {

// Our lines of a user's authorized_keys: those that end in this. Only they are ever removed; all others stay as they
// are, byte for byte.
inline constexpr std::string_view kKeyLineSuffix = " # added by dstack-shim";

struct KeyChange {
  std::vector<std::string> add;     // those that the file has already, by whoever's hand, are not added again
  std::vector<std::string> remove;  // of our lines only
  std::vector<std::string> keep;    // these are not removed, but not added either
  bool remove_others = false;       // every line of ours that is not to be added or kept
};

// Applies the change to the text of such a file, in place; returns whether anything changed.
bool change_our_keys(std::string& text, const KeyChange& change);

// Whether it has lines of ours with other keys than these.
bool has_our_keys(const std::string& text, const std::vector<std::string>& but);

}  // namespace dstack::shim::host
