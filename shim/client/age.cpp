#include "shim/client/age.h"

#include <chrono>
#include <ctime>
#include <format>

namespace dstack::shim::client {

std::int64_t seconds_since(std::int64_t since, const os::Clock& clock) {
  const auto now = os::unix_milliseconds(clock.wall());
  return since > now ? 0 : (now - since) / 1000;
}

std::string age_text(std::int64_t seconds) {
  constexpr std::int64_t minute = 60;
  constexpr std::int64_t hour = 60 * minute;
  constexpr std::int64_t day = 24 * hour;
  if (seconds < minute) return std::format("{}s", seconds);
  if (seconds < hour) return std::format("{}m", seconds / minute);
  if (seconds < day) return std::format("{}h", seconds / hour);
  return std::format("{}d", seconds / day);
}

std::string utc_text(std::int64_t milliseconds_since_epoch) {
  const std::time_t seconds = milliseconds_since_epoch / 1000;
  std::tm parts{};
  if (::gmtime_r(&seconds, &parts) == nullptr) return {};
  return std::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::string utc_text_with_milliseconds(std::int64_t milliseconds_since_epoch) {
  std::string text = utc_text(milliseconds_since_epoch);
  if (!text.empty()) text.pop_back();
  return text + std::format(".{:03}Z", milliseconds_since_epoch % 1000);
}

}  // namespace dstack::shim::client
