#include "shim/metrics/registry.h"

#include <spdlog/spdlog.h>

namespace dstack::shim::metrics {

void Registry::pull_ended(const docker::PullOutcome& outcome) {
  const os::Lock lock(mutex_);
  for (const docker::PullActivity activity : docker::kAllPullActivities)
    pull_seconds_[activity] += std::chrono::duration<double>(outcome.times.of(activity)).count();
  if (outcome.failure) {
    ++pull_failures_[*outcome.failure];
  } else {
    pulls_.add(outcome.took);
  }
}

void Registry::task_started(std::chrono::nanoseconds took) {
  const os::Lock lock(mutex_);
  starts_.add(took);
}

void Registry::keys_left() {
  const os::Lock lock(mutex_);
  ++keys_left_;
}

void Registry::image_removed() {
  const os::Lock lock(mutex_);
  ++images_removed_;
}

void Registry::request_answered(const std::string& route, int status) {
  const os::Lock lock(mutex_);
  ++requests_[{route, status}];
}

void Registry::watch_disk(std::string name, std::function<std::filesystem::path()> folder) {
  disks_.emplace(std::move(name), std::move(folder));
}

std::vector<WatchedDisk> Registry::disks() const {
  std::vector<WatchedDisk> found;
  for (const auto& [name, folder] : disks_) {
    try {
      found.push_back({.name = name, .folder = folder()});
    } catch (const std::exception& error) {
      spdlog::debug("The metrics lack the disk of {}: {}", name, error.what());
    }
  }
  return found;
}

void Registry::write(Exposition& exposition) const {
  // Docker may have to be asked for one of them, and requests that are counted do not wait for that.
  const std::vector<WatchedDisk> disks = this->disks();
  const os::Lock lock(mutex_);
  exposition.begin("dstack_shim_image_pull_duration_seconds", "histogram", "How long pulls took that succeeded.");
  exposition.histogram(pulls_);

  exposition.begin("dstack_shim_image_pull_activity_seconds_total", "counter",
                   "What pulls spent their time on; those that failed, too.");
  for (const docker::PullActivity activity : docker::kAllPullActivities) {
    const auto found = pull_seconds_.find(activity);
    exposition.sample(found == pull_seconds_.end() ? 0 : found->second, {{"activity", docker::name_of(activity)}});
  }

  exposition.begin("dstack_shim_host_keys_left_total", "counter",
                   "Ended tasks whose host keys could not be removed; the next start of the shim tries again.");
  exposition.sample(static_cast<double>(keys_left_));

  exposition.begin("dstack_shim_image_pull_failures_total", "counter",
                   "Pulls that failed for good; not those that were cancelled.");
  for (const docker::PullFailure reason : docker::kAllPullFailures) {
    const auto found = pull_failures_.find(reason);
    const std::uint64_t count = found == pull_failures_.end() ? 0 : found->second;
    exposition.sample(static_cast<double>(count), {{"reason", docker::name_of(reason)}});
  }

  exposition.begin("dstack_shim_images_removed_total", "counter",
                   "Images that were removed since Docker's disk was nearly full.");
  exposition.sample(static_cast<double>(images_removed_));

  exposition.begin("dstack_shim_task_start_duration_seconds", "histogram",
                   "How long tasks took from their submission until they ran.");
  exposition.histogram(starts_);

  exposition.begin("dstack_shim_http_requests_total", "counter", "Requests answered, by route and status.");
  for (const auto& [request, count] : requests_) {
    const auto& [route, status] = request;
    exposition.sample(static_cast<double>(count),
                      {{"route", route.empty() ? "unknown" : route}, {"code", std::to_string(status)}});
  }

  write_pressure(exposition, disks);
}

}  // namespace dstack::shim::metrics
