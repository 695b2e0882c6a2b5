#pragma once

#include <poll.h>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string_view>

#include "common/os/clock.h"
#include "common/os/event.h"

namespace dstack::os {

// Waits on descriptors until a stop is requested or a deadline has come. One thread uses it.
class Wait {
 public:
  enum class Outcome { ready, stopped, timed_out };

  // Throws Error.
  explicit Wait(Clock& clock, const std::stop_token& stop = {}, std::optional<SteadyTime> deadline = {});

  // Waits until one of `descriptors` has an event, and sets their revents, whatever the outcome. A stop comes before a
  // deadline and that before an event, so that none of them can be missed over a descriptor that is always ready.
  // Negative descriptors are left out. Throws Error; `subject` is for its message.
  Outcome until_ready(std::span<pollfd> descriptors, std::string_view subject);

 private:
  Event stopped_;
  std::unique_ptr<Timer> timer_;  // nothing without a deadline
  std::stop_callback<std::function<void()>> on_stop_;
};

}  // namespace dstack::os
