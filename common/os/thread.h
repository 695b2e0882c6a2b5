#pragma once

#include <sys/resource.h>

#include <algorithm>
#include <format>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "common/error.h"

namespace dstack::os {

// Starts a thread, a std::jthread or std::thread. Throws Error (exhausted) if none can be made: the system's or the
// service's limit on processes is reached, which may pass. `purpose` is for the message: "run a task".
template <typename Thread = std::thread, typename Function>
Thread start_thread(std::string_view purpose, Function&& function) {
  try {
    return Thread(std::forward<Function>(function));
  } catch (const std::system_error& error) {
    throw Error(ErrorKind::exhausted, std::format("start a thread to {}: {}", purpose, error.code().message()));
  }
}

// From now on other threads go before the calling one where processors are short. For work that may lag behind.
inline void lower_priority_of_this_thread() {
  constexpr int kSteps = 10;  // about a tenth of the share of a thread of normal priority
  constexpr int kLowest = 19;
  // On Linux a priority is a thread's, and 0 is the calling one. Nothing keeps a thread from lowering its own.
  ::setpriority(PRIO_PROCESS, 0, std::min(::getpriority(PRIO_PROCESS, 0) + kSteps, kLowest));
}

}  // namespace dstack::os
