#pragma once

#include <chrono>
#include <stop_token>
#include <string>
#include <vector>

#include "common/os/clock.h"
#include "common/os/command.h"

namespace dstack::shim::volume {

// Runs one of the system's disk tools and returns how it ended, whatever that is. Throws Error: not_found if it is not
// installed, timed_out if it hangs (it is killed), cancelled.
os::CommandResult run_tool(std::vector<std::string> arguments, std::chrono::milliseconds limit,
                           const std::stop_token& stop, os::Clock& clock);

}  // namespace dstack::shim::volume
