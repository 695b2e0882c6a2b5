#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace dstack::runner::repo {

// Hands over the diff in a file, for the duration of the call, with an end to its last line and without the colours
// that git puts into it where the user's settings say color.ui=always. However large it is, it takes no memory that the
// kernel could not take back: what has to be changed is written to a file in `scratch`. Throws Error.
void read_diff(const std::filesystem::path& file, const std::filesystem::path& scratch,
               const std::function<void(std::string_view)>& take);

// Whether git put colours into the diff.
bool is_coloured(std::string_view diff);

// A line of a coloured diff, without its end, as it is without colours. Escape sequences of a file's own content stay.
std::string without_colours(std::string_view line);

}  // namespace dstack::runner::repo
