#include "shim/task/leftovers.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <format>

#include "common/error.h"
#include "common/os/mounts.h"
#include "shim/docker/container_spec.h"
#include "shim/volume/volume_manager.h"

namespace dstack::shim::task {

namespace {

using docker::ContainerStatus;
using docker::ContainerSummary;

bool mounts_folder(const ContainerSummary& container, const std::filesystem::path& folder) {
  return std::ranges::any_of(container.mounts, [&](const docker::ContainerMount& mount) {
    return std::filesystem::path(mount.source).lexically_normal() == folder;
  });
}

}  // namespace

void Leftovers::sweep(const std::stop_token& stop) {
  store_.remove_half_made();
  try {
    const std::vector<ContainerSummary> containers = engine_.list(docker::kTaskLabel, {.stop = stop});
    sweep_containers(containers, stop);
    sweep_folders(containers);
    report_volumes();
  } catch (const std::exception& error) {
    if (!stop.stop_requested()) spdlog::warn("Look for what earlier tasks left: {}", error.what());
  }
}

// One that was only created may be about to be started, and is looked after when it is made.
void Leftovers::sweep_containers(const std::vector<ContainerSummary>& containers, const std::stop_token& stop) {
  for (const ContainerSummary& container : containers) {
    const auto label = container.labels.find(docker::kTaskIdLabel);
    const bool unknown = label != container.labels.end() && !label->second.empty() && !known_.task(label->second);
    if (!unknown || !store_.owns(container.mounts, container.labels) || container.status == ContainerStatus::created) {
      continue;
    }
    if (!docker::has_ended(container.status)) {
      report_once(std::format("Container {} runs, and no task of it is known: a restart of dstack-shim takes it over",
                              printable(container.name)));
      continue;
    }
    try {
      engine_.remove(container.id, {.stop = stop});
      spdlog::info("Removed container {}, which has ended: no task of it is known", printable(container.name));
    } catch (const std::exception& error) {
      spdlog::warn("{}", error.what());
    }
  }
}

void Leftovers::sweep_folders(const std::vector<ContainerSummary>& containers) {
  for (const std::string& name : store_.runner_folders()) {
    const auto mounts_it = [&](const ContainerSummary& one) { return mounts_folder(one, store_.runner_folder(name)); };
    if (std::ranges::any_of(containers, mounts_it)) continue;
    try {
      bool is_left = false;
      known_.unless_container(name, [&] {
        store_.set_runner_folder_aside(name);
        is_left = true;
      });
      if (!is_left) continue;
      store_.remove_folders_set_aside();
      spdlog::info("Removed folder {}: no task of it is known", printable(store_.runner_folder(name).string()));
    } catch (const std::exception& error) {
      report_once(error.what());
    }
  }
}

// Another shim, or a person, may have mounted it.
void Leftovers::report_volumes() {
  for (const os::Mount& mount : os::read_mounts()) {
    const std::filesystem::path point = mount.mount_point;
    if (point.parent_path() != volume::kVolumesFolder || known_.volume(point.filename().string())) continue;
    report_once(std::format("{} is mounted, and no task of this shim holds it: umount it if it is not in use",
                            printable(mount.mount_point)));
  }
}

void Leftovers::report_once(const std::string& what) {
  if (reported_.insert(what).second) spdlog::warn("{}", what);
}

}  // namespace dstack::shim::task
