#include "shim/docker/pull_times.h"

#include <format>

namespace dstack::shim::docker {

std::string_view name_of(PullActivity activity) {
  switch (activity) {
    case PullActivity::downloading: return "downloading";
    case PullActivity::unpacking: return "unpacking";
    case PullActivity::waiting: return "waiting";
    case PullActivity::other: break;
  }
  return "other";
}

void PullTimes::change(PullActivity activity, os::SteadyTime now) {
  times_.at(static_cast<std::size_t>(activity_)) += now - since_;
  since_ = now;
  activity_ = activity;
}

std::string in_words(const PullTimes& times) {
  std::string parts;
  for (const PullActivity activity : kAllPullActivities) {
    parts += std::format("{}{} {:.1f} s", parts.empty() ? "" : ", ", name_of(activity),
                         std::chrono::duration<double>(times.of(activity)).count());
  }
  return parts;
}

}  // namespace dstack::shim::docker
