#include "runner/api/rfc3339.h"

#include <chrono>

#include "common/text/number.h"

namespace dstack::runner {

namespace {

// Takes what RFC 3339 has at fixed places from the front of a text.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  // Exactly `digits` digits, at most `limit`.
  int number(int digits, int limit) {
    int value = 0;
    for (int i = 0; i < digits; ++i) {
      if (text_.empty() || !text::is_digit(text_.front())) return fail();
      value = value * 10 + (text_.front() - '0');
      text_.remove_prefix(1);
    }
    return value <= limit ? value : fail();
  }

  // One of these characters; returns which.
  char one_of(std::string_view characters) {
    if (text_.empty() || !characters.contains(text_.front())) {
      fail();
      return 0;
    }
    const char found = text_.front();
    text_.remove_prefix(1);
    return found;
  }

  bool next_is(char c) const { return !text_.empty() && text_.front() == c; }
  bool next_is_digit() const { return !text_.empty() && text::is_digit(text_.front()); }
  bool succeeded() const { return !failed_ && text_.empty(); }

 private:
  int fail() {
    failed_ = true;
    return 0;
  }

  std::string_view text_;
  bool failed_ = false;
};

}  // namespace

std::optional<std::int64_t> parse_rfc3339(std::string_view text) {
  Reader reader(text);
  const int year = reader.number(4, 9999);
  reader.one_of("-");
  const int month = reader.number(2, 12);
  reader.one_of("-");
  const int day = reader.number(2, 31);
  reader.one_of("Tt");
  const int hour = reader.number(2, 23);
  reader.one_of(":");
  const int minute = reader.number(2, 59);
  reader.one_of(":");
  const int second = reader.number(2, 60);  // 60: a leap second
  int fraction = 0;
  if (reader.next_is('.')) {
    reader.one_of(".");
    int digit_value = 100;
    do {
      fraction += reader.number(1, 9) * digit_value;
      digit_value /= 10;
    } while (reader.next_is_digit());
  }
  int offset = 0;  // minutes
  if (const char zone = reader.one_of("Zz+-"); zone == '+' || zone == '-') {
    offset = reader.number(2, 23) * 60;
    reader.one_of(":");
    offset += reader.number(2, 59);
    if (zone == '-') offset = -offset;
  }
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!reader.succeeded() || !date.ok()) return std::nullopt;
  const auto moment = std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute - offset) +
                      std::chrono::seconds(second) + std::chrono::milliseconds(fraction);
  return std::chrono::duration_cast<std::chrono::milliseconds>(moment.time_since_epoch()).count();
}

}  // namespace dstack::runner
