#pragma once

#include <algorithm>
#include <string_view>

namespace dstack::text {

// ASCII's control characters, the tab and the line feed among them.
constexpr bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

constexpr bool has_control(std::string_view text) { return std::ranges::any_of(text, is_control); }

}  // namespace dstack::text
