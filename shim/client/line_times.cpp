#include "shim/client/line_times.h"

#include <ctime>

#include "common/text/number.h"

namespace dstack::shim::client {

namespace {

// "1h30m", "45s", "500ms"
std::optional<std::int64_t> parse_duration(std::string_view text) {
  std::int64_t total = 0;
  while (!text.empty()) {
    const std::size_t digits = text.find_first_not_of("0123456789");
    if (digits == 0 || digits == std::string_view::npos) return std::nullopt;
    const auto count = text::parse_number<std::int64_t>(text.substr(0, digits));
    text.remove_prefix(digits);
    const std::size_t length = std::min(text.find_first_of("0123456789"), text.size());
    const std::string_view unit = text.substr(0, length);
    text.remove_prefix(length);
    const std::int64_t factor = unit == "ms"  ? 1
                                : unit == "s" ? 1000
                                : unit == "m" ? 60'000
                                : unit == "h" ? 3'600'000
                                              : 0;
    if (!count || factor == 0 || *count > INT64_C(1) << 40) return std::nullopt;
    total += *count * factor;
  }
  return total;
}

// "2026-11-28", "2026-11-28T10:00:00", with a fraction, with "Z" or "+01:00"; without either it is UTC.
std::optional<std::int64_t> parse_date(const std::string& text) {
  std::tm parts{};
  const char* rest = ::strptime(text.c_str(), "%Y-%m-%d", &parts);
  if (rest == nullptr) return std::nullopt;
  if (*rest == 'T' || *rest == ' ') {
    rest = ::strptime(rest + 1, "%H:%M:%S", &parts);
    if (rest == nullptr) return std::nullopt;
  }
  std::int64_t milliseconds = static_cast<std::int64_t>(::timegm(&parts)) * 1000;
  std::string_view left = rest;
  if (left.starts_with('.')) {
    const std::size_t end = std::min(left.find_first_not_of("0123456789", 1), left.size());
    std::string fraction(left.substr(1, std::min<std::size_t>(end - 1, 3)));
    fraction.resize(3, '0');
    milliseconds += text::parse_number<std::int64_t>(fraction).value_or(0);
    left.remove_prefix(end);
  }
  if (left.empty() || left == "Z") return milliseconds;
  if (left.size() != 6 || (left[0] != '+' && left[0] != '-') || left[3] != ':') return std::nullopt;
  const auto hours = text::parse_number<int>(left.substr(1, 2));
  const auto minutes = text::parse_number<int>(left.substr(4, 2));
  if (!hours || !minutes) return std::nullopt;
  const std::int64_t ahead = (*hours * 60 + *minutes) * INT64_C(60'000);
  return left[0] == '+' ? milliseconds - ahead : milliseconds + ahead;
}

}  // namespace

std::optional<std::int64_t> parse_moment(const std::string& text, const os::Clock& clock) {
  // A fraction of a second makes no difference to a person.
  if (const auto seconds = text::parse_number<std::int64_t>(text.substr(0, text.find('.')));
      seconds && *seconds >= 0 && *seconds < INT64_C(1) << 50) {
    return *seconds * 1000;
  }
  if (const auto before = parse_duration(text); before && !text.empty()) {
    const auto now = os::unix_milliseconds(clock.wall());
    return now - *before;
  }
  return parse_date(text);
}

bool LineTimes::fetch() {
  const std::vector<LineTime> more = shim_.line_times(task_, next_);
  next_ += more.size();
  lines_.insert(lines_.end(), more.begin(), more.end());
  return !more.empty();
}

std::optional<std::uint64_t> LineTimes::position_at(std::int64_t since) {
  while (true) {
    if (lines_.empty() && !fetch()) return std::nullopt;
    const LineTime& line = lines_.front();
    if (line.time >= since) return line.begin.value_or(end_);
    if (line.begin) end_ = line.end;
    lines_.pop_front();
  }
}

std::optional<std::int64_t> LineTimes::time_of(std::uint64_t position) {
  while (true) {
    if (lines_.empty() && !fetch()) return rewritten_;
    const LineTime& line = lines_.front();
    if (line.begin && line.end > position) return *line.begin > position && rewritten_ ? rewritten_ : line.time;
    rewritten_ = line.begin ? std::nullopt : std::optional(line.time);
    lines_.pop_front();
  }
}

}  // namespace dstack::shim::client
