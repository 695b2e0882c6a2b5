#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "common/os/unique_fd.h"

namespace dstack::os {

// Blocks `signals` in this thread, and so in every thread started later, and returns a descriptor that is readable
// when one is pending (signalfd). Call it in main before any thread starts. Children start with an empty mask
// (os::Child).
UniqueFd block_and_watch(std::initializer_list<int> signals);

// Takes the next pending signal's number from such a descriptor; waits for one.
int next_signal(const UniqueFd& watched);

// "SIGTERM" of 15, "SIGRTMIN+1" of 35; nothing for a number that no signal has.
std::optional<std::string> signal_name(int number);
std::optional<int> signal_number(std::string_view name);

// A write to a closed connection is an error code, not the end of the process.
void ignore_broken_pipes();

}  // namespace dstack::os
