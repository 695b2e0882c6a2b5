#pragma once

#include <array>
#include <chrono>
#include <string>
#include <string_view>

#include "common/os/clock.h"

namespace dstack::shim::docker {

// What the engine does for a pull at a moment. It may unpack a layer while it downloads another one: that counts as
// downloading.
enum class PullActivity {
  downloading,  // at least one layer
  unpacking,    // layers, and no layer is downloaded
  waiting,      // for one of the engine's downloads, all of which other pulls have
  other,        // asking the registry, a pause between attempts
};
inline constexpr std::array kAllPullActivities{PullActivity::downloading, PullActivity::unpacking,
                                               PullActivity::waiting, PullActivity::other};
std::string_view name_of(PullActivity activity);

// How long a pull has done each; they add up to the time of the whole pull. One thread.
class PullTimes {
 public:
  PullTimes() = default;
  explicit PullTimes(os::SteadyTime begin) : since_(begin) {}

  // What it does from now on.
  void change(PullActivity activity, os::SteadyTime now);
  std::chrono::nanoseconds of(PullActivity activity) const { return times_.at(static_cast<std::size_t>(activity)); }

 private:
  std::array<std::chrono::nanoseconds, kAllPullActivities.size()> times_{};
  PullActivity activity_ = PullActivity::other;
  os::SteadyTime since_;
};

// "downloading 8.1 s, unpacking 4.0 s, waiting 0.0 s, other 0.2 s"
std::string in_words(const PullTimes& times);

}  // namespace dstack::shim::docker
