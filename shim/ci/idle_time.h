#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace dstack::shim::ci {

// How long a launcher waits for a job.
struct IdleTime {
  std::optional<std::chrono::seconds> limit;  // nothing: for ever
};

// "300", "90s", "5 min", "2hours", "never", "0", "-1"; nothing for any other text.
std::optional<IdleTime> parse_idle_time(std::string_view text);

}  // namespace dstack::shim::ci
