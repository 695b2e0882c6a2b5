#pragma once

#include <charconv>
#include <concepts>
#include <optional>
#include <string_view>
#include <system_error>

namespace dstack::text {

// The number that the whole of `text` is: digits, with a minus in front if `Number` has a sign; no blanks, no plus, no
// prefix. Nothing for any other text and for a number that `Number` cannot hold.
template <std::integral Number>
std::optional<Number> parse_number(std::string_view text, int base = 10) {
  Number number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(
      text.data(), end, number, base);  // NOLINT(bugprone-suspicious-stringview-data-usage): `end` says where
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

// One decimal digit or more, and nothing else.
constexpr bool is_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace dstack::text
