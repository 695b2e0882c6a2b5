#pragma once

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

}  // namespace dstack::os
