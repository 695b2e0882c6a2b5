#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>

#include "common/os/clock.h"

namespace dstack::shim::client {

// How fast something comes in: over the last few seconds, so that a stall shows and a burst does not.
class TransferRate {
 public:
  // The clock outlives this object.
  explicit TransferRate(os::Clock& clock) : clock_(&clock) {}

  // So many bytes have come in all, until now.
  void add(std::int64_t bytes);

  // Bytes a second; nothing before there is enough to tell.
  std::optional<double> per_second() const;
  // Until `total` bytes have come; nothing if that cannot be told.
  std::optional<std::chrono::seconds> time_left(std::int64_t total) const;

 private:
  struct Sample {
    os::SteadyTime time;
    std::int64_t bytes;
  };

  os::Clock* clock_;
  std::deque<Sample> samples_;
};

}  // namespace dstack::shim::client
