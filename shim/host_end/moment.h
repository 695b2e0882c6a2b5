#pragma once

#include <optional>
#include <string>

#include "common/os/clock.h"

namespace dstack::shim::host_end {

// "2026-11-28T13:00:00Z"; nothing for any other text.
std::optional<os::WallTime> parse_iso_moment(const std::string& text);
// "Mon, 19 Sep 2026 18:29:47 GMT"; nothing for any other text.
std::optional<os::WallTime> parse_http_moment(const std::string& text);
// The first of these, and "soon" without a moment.
std::string describe_moment(const std::optional<os::WallTime>& moment);

}  // namespace dstack::shim::host_end
