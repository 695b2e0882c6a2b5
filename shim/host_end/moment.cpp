#include "shim/host_end/moment.h"

#include <ctime>
#include <format>

namespace dstack::shim::host_end {

namespace {

std::optional<os::WallTime> parse(const std::string& text, const char* format) {
  std::tm parts{};
  const char* rest = ::strptime(text.c_str(), format, &parts);
  if (rest == nullptr || *rest != '\0') return std::nullopt;
  return os::WallTime(std::chrono::seconds(::timegm(&parts)));
}

}  // namespace

std::optional<os::WallTime> parse_iso_moment(const std::string& text) { return parse(text, "%Y-%m-%dT%H:%M:%SZ"); }

std::optional<os::WallTime> parse_http_moment(const std::string& text) {
  return parse(text, "%a, %d %b %Y %H:%M:%S GMT");
}

std::string describe_moment(const std::optional<os::WallTime>& moment) {
  if (!moment) return "soon";
  return std::format("at {:%Y-%m-%dT%H:%M:%SZ}", std::chrono::floor<std::chrono::seconds>(*moment));
}

}  // namespace dstack::shim::host_end
