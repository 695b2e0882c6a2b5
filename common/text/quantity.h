#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace dstack::text {

// "500M": a whole number with K, M, G or T behind it, powers of 1024. Nothing for any other text, and for more than
// an int64 holds.
std::optional<std::uint64_t> parse_size(std::string_view text);

// "30d": a whole number with s, m, h, d or w behind it. Nothing for any other text.
std::optional<std::chrono::seconds> parse_duration(std::string_view text);

}  // namespace dstack::text
