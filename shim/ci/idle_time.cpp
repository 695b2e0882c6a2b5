#include "shim/ci/idle_time.h"

#include <cstdint>

#include "common/text/letter_case.h"
#include "common/text/number.h"
#include "common/text/trim.h"

namespace dstack::shim::ci {

namespace {

constexpr std::int64_t kLongest = std::int64_t{100} * 365 * 24 * 3600;

struct Unit {
  std::string_view name;
  std::int64_t seconds;
};

constexpr Unit kUnits[] = {{"", 1},         {"s", 1},    {"sec", 1},      {"seconds", 1}, {"min", 60},
                           {"minutes", 60}, {"h", 3600}, {"hours", 3600}, {"d", 86400},   {"days", 86400}};

}  // namespace

std::optional<IdleTime> parse_idle_time(std::string_view text) {
  text = text::trim(text);
  if (text::equal_ignoring_case(text, "never")) return IdleTime{};
  std::size_t end = text.starts_with('-') ? 1 : 0;
  while (end < text.size() && text::is_digit(text[end])) ++end;
  const auto number = text::parse_number<std::int64_t>(text.substr(0, end));
  const std::string unit = text::lower_case(text::trim(text.substr(end)));
  for (const Unit& known : kUnits) {
    if (!number || known.name != unit) continue;
    if (*number <= 0) return IdleTime{};
    if (*number > kLongest / known.seconds) return std::nullopt;
    return IdleTime{.limit = std::chrono::seconds(*number * known.seconds)};
  }
  return std::nullopt;
}

}  // namespace dstack::shim::ci
