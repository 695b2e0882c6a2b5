#pragma once

#include <chrono>
#include <cstddef>
#include <deque>

#include "common/os/clock.h"

namespace dstack::shim::ci {

// Whether an agent is started again after an unexpected exit: not once that has happened three times within a minute.
class RecentRestarts {
 public:
  void add(os::SteadyTime now) {
    times_.push_back(now);
    while (times_.front() + kSpan < now) times_.pop_front();
  }

  std::size_t count() const { return times_.size(); }
  bool are_too_many() const { return count() >= kMost; }

 private:
  static constexpr std::chrono::minutes kSpan{1};
  static constexpr std::size_t kMost = 3;

  std::deque<os::SteadyTime> times_;
};

}  // namespace dstack::shim::ci
