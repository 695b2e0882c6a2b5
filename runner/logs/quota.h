#pragma once

#include <cstdint>

#include "common/os/clock.h"

namespace dstack::runner {

// How much plain text a job may print an hour, by hours since its submission. Not thread-safe.
class Quota {
 public:
  // Begins to count; 0: no limit.
  void start(std::uint64_t bytes_an_hour, os::SteadyTime now);

  // How many of `wanted` bytes may be kept; they count as used. Less than `wanted`: it is exceeded, for good.
  std::uint64_t take(std::uint64_t wanted, os::SteadyTime now);

  bool exceeded() const { return exceeded_; }

 private:
  std::uint64_t limit_ = 0;
  std::uint64_t used_ = 0;
  std::int64_t hour_ = 0;
  os::SteadyTime started_{};
  bool exceeded_ = false;
};

}  // namespace dstack::runner
