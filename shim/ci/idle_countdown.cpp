#include "shim/ci/idle_countdown.h"

#include <algorithm>

namespace dstack::shim::ci {

void IdleCountdown::reset() {
  end_.reset();
  left_ = limit_;
}

void IdleCountdown::count() {
  if (!left_) return;
  end_ = clock_.now() + *left_;
  left_.reset();
}

void IdleCountdown::pause() {
  if (!end_) return;
  left_ = std::max(*end_ - clock_.now(), std::chrono::nanoseconds(0));
  end_.reset();
}

}  // namespace dstack::shim::ci
