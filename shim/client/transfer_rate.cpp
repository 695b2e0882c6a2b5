#include "shim/client/transfer_rate.h"

#include <algorithm>

namespace dstack::shim::client {

namespace {

using Seconds = std::chrono::duration<double>;

constexpr std::chrono::seconds kWindow{5};
constexpr std::chrono::milliseconds kShortest{500};  // that a rate is told of
constexpr std::chrono::hours kLongest{100};          // what takes longer is not worth telling

}  // namespace

void TransferRate::add(std::int64_t bytes) {
  const os::SteadyTime now = clock_->now();
  samples_.push_back({.time = now, .bytes = bytes});
  // One that is older stays, as the beginning of the window.
  while (samples_.size() > 2 && samples_[1].time <= now - kWindow) samples_.pop_front();
}

std::optional<double> TransferRate::per_second() const {
  if (samples_.empty()) return std::nullopt;
  const auto took = samples_.back().time - samples_.front().time;
  if (took < kShortest) return std::nullopt;
  const auto bytes = static_cast<double>(samples_.back().bytes - samples_.front().bytes);
  return std::max(0.0, bytes / std::chrono::duration_cast<Seconds>(took).count());
}

std::optional<std::chrono::seconds> TransferRate::time_left(std::int64_t total) const {
  const auto rate = per_second();
  if (!rate || *rate <= 0) return std::nullopt;
  const Seconds left(static_cast<double>(std::max<std::int64_t>(0, total - samples_.back().bytes)) / *rate);
  if (left > kLongest) return std::nullopt;
  return std::chrono::ceil<std::chrono::seconds>(left);
}

}  // namespace dstack::shim::client
