#pragma once

#include <chrono>
#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "common/os/clock.h"
#include "shim/client/shim_api.h"

namespace dstack::shim::client {

// The termination reason of what a person ends; one of the server's.
// "name (9f0c1a2b)"
std::string label_of(const TaskEntry& task);

// Runs `what`, in which the task may be gone already: some are removed by themselves when they have ended.
void unless_gone(const std::function<void()>& what);

// Stops tasks: each job is interrupted as Ctrl-C would, and all have the same time to end before they are killed.
// Members throw Error as ShimApi's.
class Stopping {
 public:
  // `note` gets what a person should know, a line each without its end. `shim` outlives this object.
  Stopping(ShimApi& shim, std::chrono::seconds limit, std::function<void(std::string_view)> note);

  // Interrupts the job; returns at once.
  void begin(const TaskEntry& task);
  // Returns when the task is terminated.
  void finish(const TaskEntry& task);

 private:
  bool interrupt(const TaskEntry& task);

  ShimApi& shim_;
  os::Clock& clock_ = os::system_clock();
  const std::chrono::seconds limit_;
  const os::SteadyTime deadline_;
  const std::function<void(std::string_view)> note_;
  std::set<std::string> interrupted_;
};

}  // namespace dstack::shim::client
