#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/os/clock.h"

namespace dstack::shim::client {

// How long ago `since` (ms since the epoch) was, in whole seconds; 0 if a clock that was set back says it is yet to
// come.
std::int64_t seconds_since(std::int64_t since, const os::Clock& clock);

// "45s", "5m", "3h", "12d": whole units, rounded down.
std::string age_text(std::int64_t seconds);

// "2026-11-21T14:15:02Z"
std::string utc_text(std::int64_t milliseconds_since_epoch);

// "2026-11-21T14:15:02.123Z"
std::string utc_text_with_milliseconds(std::int64_t milliseconds_since_epoch);

}  // namespace dstack::shim::client
