#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/os/mutex.h"
#include "shim/docker/image_pull.h"
#include "shim/metrics/exposition.h"
#include "shim/metrics/histogram.h"
#include "shim/metrics/pressure.h"

namespace dstack::shim::metrics {

// What has happened since the process began, counted. main owns the one there is and tells those who know of events
// where to report them. All members may be called from any thread.
class Registry {
 public:
  void pull_ended(const docker::PullOutcome& outcome);
  // From its submission until it runs.
  void task_started(std::chrono::nanoseconds took);
  // The host keys of a task that ended could not be removed.
  void keys_left();
  // An image was removed to make room.
  void image_removed();
  // `route` is a pattern, so that there are as many as the API has; "" for a path that it does not have.
  void request_answered(const std::string& route, int status);

  // Disks whose space is reported; before the first write(). `folder` is called at each of these, and may throw.
  void watch_disk(std::string name, std::function<std::filesystem::path()> folder);

  void write(Exposition& exposition) const;

 private:
  std::vector<WatchedDisk> disks() const;

  std::map<std::string, std::function<std::filesystem::path()>> disks_;
  mutable os::Mutex mutex_;
  // From an image of a few layers nearby to one of 100 GB on a slow line.
  Histogram pulls_ DSTACK_GUARDED_BY(mutex_){{1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600}};
  std::map<docker::PullFailure, std::uint64_t> pull_failures_ DSTACK_GUARDED_BY(mutex_);
  std::map<docker::PullActivity, double> pull_seconds_ DSTACK_GUARDED_BY(mutex_);
  // From a start where all is there to one with such a pull in it.
  Histogram starts_ DSTACK_GUARDED_BY(mutex_){
      {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600}};
  std::uint64_t keys_left_ DSTACK_GUARDED_BY(mutex_) = 0;
  std::uint64_t images_removed_ DSTACK_GUARDED_BY(mutex_) = 0;
  std::map<std::pair<std::string, int>, std::uint64_t> requests_ DSTACK_GUARDED_BY(mutex_);
};

}  // namespace dstack::shim::metrics
