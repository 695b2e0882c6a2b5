#include "runner/logs/stamps.h"

#include <algorithm>

namespace dstack::runner {

namespace {

template <typename TimePoint>
std::int64_t since_epoch(TimePoint time) {
  return std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

}  // namespace

Stamps::Stamps(os::Clock& clock) : clock_(clock) {
  latest_ = locked_now();
  earliest_next_ = latest_;
}

std::int64_t Stamps::now() {
  const os::Lock lock(mutex_);
  return locked_now();
}

std::int64_t Stamps::take() {
  const os::Lock lock(mutex_);
  latest_ = std::max(locked_now(), earliest_next_);
  earliest_next_ = latest_;
  return latest_;
}

std::int64_t Stamps::tell() {
  const os::Lock lock(mutex_);
  earliest_next_ = latest_ + 1;
  return latest_;
}

// Follows the wall clock forwards only. Were it to stand still when that is set back an hour, all output of that hour
// would share one millisecond, and one page.
std::int64_t Stamps::locked_now() {
  const std::int64_t steady = since_epoch(clock_.now());
  ahead_ = std::max(ahead_, since_epoch(clock_.wall()) - steady);
  return steady + ahead_;
}

}  // namespace dstack::runner
