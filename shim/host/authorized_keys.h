#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "shim/host/user_identity.h"

namespace dstack::shim::host {

// Our lines of a user's ~/.ssh/authorized_keys: those that end in this. Only they are ever removed; all others stay as
// they are, byte for byte.
inline constexpr std::string_view key_line_suffix = " # added by dstack-shim";

struct KeyChange {
  std::vector<std::string> add;     // those that the file has already, by whoever's hand, are not added again
  std::vector<std::string> remove;  // of our lines only
  std::vector<std::string> keep;    // these are not removed, but not added either
  bool remove_others = false;       // every line of ours that is not to be added or kept
};

// Applies the change to the text of such a file, in place; returns whether anything changed.
bool change_our_keys(std::string& text, const KeyChange& change);

// The same for the user's file. It is made if it is absent (folder 0700, file 0600, the user's); else it is locked, the
// new content written aside, flushed and renamed over it, owner and mode kept. Everything is done with the user's own
// file access. Throws Error; the file is then as it was. Blocks, for 5 s at most if another holds the lock.
void change_our_keys(const User& user, const KeyChange& change);

// Whether the user's file has lines of ours; false too where it cannot be read.
bool has_our_keys(const User& user);

}  // namespace dstack::shim::host
