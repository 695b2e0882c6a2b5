#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dstack::text {

// `text` as one word of a shell's command line. In single quotes nothing is special but the single quote itself.
std::string shell_quoted(std::string_view text);

// The words of a command line as a shell splits it: blanks and line ends separate, quotes and backslashes hold together
// and are removed. Nothing is expanded: "$A" stays as it is. Nothing if a quote is not closed or a backslash is last.
std::optional<std::vector<std::string>> split_shell_words(std::string_view text);

}  // namespace dstack::text
