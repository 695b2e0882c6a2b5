#pragma once

#include <string>
#include <string_view>

namespace dstack::text {

// ASCII letters only, whatever the locale: names of headers, schemes, units.
std::string lower_case(std::string_view text);

bool equal_ignoring_case(std::string_view a, std::string_view b);

}  // namespace dstack::text
