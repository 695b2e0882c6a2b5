#pragma once

#include <optional>
#include <vector>

#include "shim/doctor/check.h"

namespace dstack::shim::doctor {

// The runner's file: there, and what it says it is.
Finding check_runner(const Host& host);

// The programs that volumes are mounted and formatted with.
Finding check_tools(const Host& host);

// Whether the system's time makes sense, told without a network.
Finding check_clock(const Host& host);

// What the time `now` means for a program built at `built` (nothing if that is not known), the kernel saying whether
// its clock is kept in step with another's (nothing if it does not say).
Finding judge_clock(os::WallTime now, std::optional<os::WallTime> built, std::optional<bool> synchronised);

}  // namespace dstack::shim::doctor
