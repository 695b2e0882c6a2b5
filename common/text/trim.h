#pragma once

#include <string_view>

namespace dstack::text {

// Blanks are the space, the tab, CR and LF.

// Without the blanks at both ends.
std::string_view trim(std::string_view text);

// Without the blanks at the end.
std::string_view trim_end(std::string_view text);

}  // namespace dstack::text
