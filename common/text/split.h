#pragma once

#include <string_view>
#include <vector>

namespace dstack::text {

// All of these return pieces of `text`, which must outlive them.

// The pieces between separators: always one more than there are separators, so one empty piece of an empty text.
std::vector<std::string_view> split(std::string_view text, char separator);

// The pieces between runs of blanks (space, tab, CR, LF), none of them empty.
std::vector<std::string_view> split_words(std::string_view text);

// The lines without their ends (LF or CR LF); a last line without an end counts.
std::vector<std::string_view> split_lines(std::string_view text);

// Takes what stands before the first separator, or everything if there is none, from the beginning of `rest`; the
// separator is removed as well. Loop while `rest` is not empty.
std::string_view take_until(std::string_view& rest, char separator);

// The next line, without its end, as split_lines() has it. For a text that is too large for a list of its lines.
std::string_view take_line(std::string_view& rest);

}  // namespace dstack::text
