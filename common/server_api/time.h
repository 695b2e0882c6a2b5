#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/os/clock.h"

// Times as a dstack server writes them.
namespace dstack::server_api {

// "2026-11-28T06:20:01.123456+00:00", also with Z, without a fraction, or without an offset (then it is UTC).
std::optional<os::WallTime> parse_time(std::string_view text);

// "2026-11-28T06:20:01Z"
std::string rfc3339(os::WallTime time);

// How long ago it was: "now" (less than 10 s), "40 secs ago", "1 min ago", "3 mins ago", "1 hour ago", "2 days ago".
std::string ago(os::WallTime time, os::WallTime now);

}  // namespace dstack::server_api
