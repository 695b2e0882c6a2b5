#pragma once

#include <string>
#include <string_view>

namespace dstack::text {

// `text` with whatever could move a terminal's cursor, break a line or turn its direction as an escape ("\n", "\x1b",
// "\u009b"): control characters, bidirectional controls, bytes that are not UTF-8. All else, quotes and backslashes
// too, stays as it is. For foreign text on its way to a terminal or a line of a log; one that is to be told apart from
// the sentence around it is quoted with printable().
std::string escape_controls(std::string_view text);

// The same of each of its lines: a message may list things.
std::string escape_lines(std::string_view text);

}  // namespace dstack::text
