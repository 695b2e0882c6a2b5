#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "common/os/clock.h"

namespace dstack::shim::client {

struct Retry {
  // Lets this much time pass; false if the person gives up.
  std::function<bool(std::chrono::milliseconds)> pause;
  // Gets what the person should know, a line without its end.
  std::function<void(std::string_view)> note;
  std::chrono::seconds limit{120};
};

// Ends or removes a task by `attempt`, and again once a second while the shim answers that it could not do it yet (the
// engine is slow, a volume is in use). Done if the task is not there any more. `what` is for messages: "terminate
// NAME". Throws Error: the last failure, after the limit or if the person gives up; conflict at once.
void retry(std::string_view what, const std::function<void()>& attempt, const Retry& settings,
           os::Clock& clock = os::system_clock());

}  // namespace dstack::shim::client
