#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

namespace dstack::shim::metrics {

using Seconds = std::chrono::duration<double>;

// How many durations fell into which bucket. Plain data: whoever shares one sees to the lock.
class Histogram {
 public:
  // The upper bounds of the buckets, rising, in seconds; one without a bound comes last by itself.
  explicit Histogram(std::vector<double> bounds);

  void add(Seconds duration);

  const std::vector<double>& bounds() const { return bounds_; }
  // How many were at most bounds()[i], as Prometheus wants it: each bucket holds those before it. The last is all.
  std::vector<std::uint64_t> cumulative() const;
  std::uint64_t count() const;
  double sum() const { return sum_; }

 private:
  std::vector<double> bounds_;
  std::vector<std::uint64_t> counts_;
  double sum_ = 0;
};

}  // namespace dstack::shim::metrics
