#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "shim/doctor/check.h"

namespace dstack::shim::doctor {

// The runner's file: there, and what it says it is.
Finding check_runner(const Host& host);

// The programs that volumes are mounted and formatted with.
Finding check_tools(const Host& host);

// The program that lets Docker unpack on all cores.
Finding check_unpigz(const Host& host);

// Whether the system's time makes sense, told without a network.
Finding check_clock(const Host& host);

// The program that is to keep the clock right, by its process below `proc`: "chronyd"; nothing if none runs.
std::optional<std::string> time_daemon(const std::filesystem::path& proc);

// What the time `now` means for a program built at `built` (nothing if that is not known), the kernel saying whether
// its clock is kept in step with another's (nothing if it does not say), and `daemon` being time_daemon().
Finding judge_clock(os::WallTime now, std::optional<os::WallTime> built, std::optional<bool> synchronised,
                    const std::optional<std::string>& daemon);

}  // namespace dstack::shim::doctor
