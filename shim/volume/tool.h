#pragma once

#include <chrono>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/os/command.h"
#include "common/os/clock.h"

namespace dstack::shim::volume {

// Runs one of the system's disk tools and returns how it ended, whatever that is. Throws Error: not_found if it is not
// installed, timed_out if it hangs (it is killed), cancelled.
os::CommandResult run_tool(std::vector<std::string> arguments, std::chrono::milliseconds limit,
                           const std::stop_token& stop, os::Clock& clock);

// Takes the next line off the front of `text`, without its end.
std::string_view next_line(std::string_view& text);

// "a b  c" → {"a", "b", "c"}
std::vector<std::string_view> words_of(std::string_view line);

}  // namespace dstack::shim::volume
