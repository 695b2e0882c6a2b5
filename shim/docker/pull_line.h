#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dstack::shim::docker {

// What a line of the engine's pull stream says. What it leaves out is empty or 0.
struct PullLine {
  std::string status;
  std::string id;     // of a layer, or the tag
  std::string error;  // in the engine's words
  // Of `progressDetail`. Negative numbers are the engine's way to say that it does not know: 0.
  std::uint64_t current = 0;
  std::uint64_t total = 0;
  std::string units;  // "" and "bytes" are bytes; newer engines count the extraction in seconds: "s"
};

// Nothing if the line is not a JSON object. Lines come by the hundred in a pull: no tree is built of them.
std::optional<PullLine> parse_pull_line(std::string_view line);

}  // namespace dstack::shim::docker
