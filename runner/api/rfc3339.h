#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace dstack::runner {

// "2026-01-02T03:04:05.678+09:00" as ms since the epoch, fractions of a ms cut off; nothing for what is no such moment.
std::optional<std::int64_t> parse_rfc3339(std::string_view text);

}  // namespace dstack::runner
