#include "shim/metrics/histogram.h"

#include <algorithm>
#include <numeric>

namespace dstack::shim::metrics {

Histogram::Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}

void Histogram::add(Seconds duration) {
  const auto bucket = std::ranges::lower_bound(bounds_, duration.count()) - bounds_.begin();
  ++counts_[static_cast<std::size_t>(bucket)];
  sum_ += duration.count();
}

std::vector<std::uint64_t> Histogram::cumulative() const {
  std::vector<std::uint64_t> sums(counts_.size());
  std::partial_sum(counts_.begin(), counts_.end(), sums.begin());
  return sums;
}

std::uint64_t Histogram::count() const { return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0}); }

}  // namespace dstack::shim::metrics
