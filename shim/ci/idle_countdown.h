#pragma once

#include <chrono>
#include <optional>

#include "common/os/clock.h"

namespace dstack::shim::ci {

// The time that a launcher may still wait for a job. It passes only while it is counted.
class IdleCountdown {
 public:
  // Without a limit it never ends.
  IdleCountdown(std::optional<std::chrono::seconds> limit, os::Clock& clock) : limit_(limit), clock_(clock) {}

  // Gives back the whole time, and does not count it yet.
  void reset();
  void count();
  void pause();
  // When it ends; nothing while it is not counted.
  std::optional<os::SteadyTime> end() const { return end_; }

 private:
  const std::optional<std::chrono::seconds> limit_;
  os::Clock& clock_;
  std::optional<os::SteadyTime> end_;             // while it is counted
  std::optional<std::chrono::nanoseconds> left_;  // while it is not
};

}  // namespace dstack::shim::ci
