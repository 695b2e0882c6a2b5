#include "common/server_api/time.h"

#include <chrono>
#include <format>

#include "common/text/number.h"

namespace dstack::server_api {

using namespace std::chrono_literals;

namespace {

// Takes `length` digits off the text.
std::optional<int> take_digits(std::string_view& text, std::size_t length) {
  const std::string_view digits = text.substr(0, length);
  if (digits.size() < length || !text::is_digits(digits)) return std::nullopt;
  const auto number = text::parse_number<int>(digits);
  text.remove_prefix(length);
  return number;
}

bool take(std::string_view& text, std::string_view any_of) {
  if (text.empty() || !any_of.contains(text[0])) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<std::chrono::minutes> take_offset(std::string_view& text) {
  if (text.empty() || text == "Z" || text == "z") {
    text = {};
    return 0min;
  }
  const bool west = text[0] == '-';
  if (!take(text, "+-")) return std::nullopt;
  const auto hours = take_digits(text, 2);
  take(text, ":");
  const auto minutes = take_digits(text, 2);
  if (!hours || !minutes || !text.empty()) return std::nullopt;
  const std::chrono::minutes offset(*hours * 60 + *minutes);
  return west ? -offset : offset;
}

std::string count_of(std::int64_t count, const char* unit) {
  return std::format("{} {}{} ago", count, unit, count == 1 ? "" : "s");
}

}  // namespace

std::optional<os::WallTime> parse_time(std::string_view text) {
  const auto year = take_digits(text, 4);
  if (!year || !take(text, "-")) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, "-")) return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day || !take(text, "Tt ")) return std::nullopt;
  const auto hour = take_digits(text, 2);
  if (!hour || !take(text, ":")) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || !take(text, ":")) return std::nullopt;
  const auto second = take_digits(text, 2);
  if (!second) return std::nullopt;
  std::chrono::microseconds fraction{0};
  if (take(text, ".,")) {
    std::int64_t unit = 100'000;
    while (!text.empty() && text[0] >= '0' && text[0] <= '9') {
      fraction += std::chrono::microseconds((text[0] - '0') * unit);
      unit /= 10;
      text.remove_prefix(1);
    }
  }
  const auto offset = take_offset(text);
  const std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!offset || !date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(*hour) + std::chrono::minutes(*minute) +
         std::chrono::seconds(*second) + std::chrono::duration_cast<os::WallTime::duration>(fraction) - *offset;
}

std::string rfc3339(os::WallTime time) {
  const auto days = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(days);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<std::chrono::seconds>(time - days));
  return std::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count());
}

std::string ago(os::WallTime time, os::WallTime now) {
  const std::int64_t seconds = std::chrono::duration_cast<std::chrono::seconds>(now - time).count();
  if (seconds < 10) return "now";  // also where this machine's clock is behind the server's
  if (seconds < 60) return count_of(seconds, "sec");
  if (seconds < 3600) return count_of(seconds / 60, "min");
  if (seconds < 86400) return count_of(seconds / 3600, "hour");
  return count_of(seconds / 86400, "day");
}

}  // namespace dstack::server_api
