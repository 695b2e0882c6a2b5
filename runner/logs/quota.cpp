#include "runner/logs/quota.h"

#include <algorithm>

namespace dstack::runner {

void Quota::start(std::uint64_t bytes_an_hour, os::SteadyTime now) {
  limit_ = bytes_an_hour;
  started_ = now;
  hour_ = 0;
  used_ = 0;
}

std::uint64_t Quota::take(std::uint64_t wanted, os::SteadyTime now) {
  if (exceeded_) return 0;
  if (limit_ == 0) return wanted;
  if (const std::int64_t hour = std::chrono::floor<std::chrono::hours>(now - started_).count(); hour != hour_) {
    hour_ = hour;
    used_ = 0;
  }
  const std::uint64_t granted = std::min(wanted, limit_ - used_);
  used_ += granted;
  exceeded_ = granted < wanted;
  return granted;
}

}  // namespace dstack::runner
