#include "shim/gpu/host_gpus.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <format>

#include "common/error.h"
#include "shim/gpu/amd.h"
#include "shim/gpu/cdi.h"
#include "shim/gpu/intel.h"
#include "shim/gpu/nvidia.h"
#include "shim/gpu/tenstorrent.h"

namespace dstack::shim::gpu {

std::vector<std::string> HostGpus::take(std::int64_t count) {
  const os::Lock lock(mutex_);
  std::vector<std::string> ids;
  // In the order of the host, where neighbours are often joined by a faster link.
  for (const Gpu& gpu : inventory_.gpus) {
    if (count >= 0 && ids.size() == static_cast<std::size_t>(count)) break;
    if (!taken_.contains(gpu.id)) ids.push_back(gpu.id);
  }
  if (count > 0 && ids.size() < static_cast<std::size_t>(count)) {
    const std::string why = inventory_.failure.empty() ? "" : "; " + inventory_.failure;
    throw Error(ErrorKind::conflict, std::format("not enough GPUs: {} wanted, {} of {} free{}", count, ids.size(),
                                                 inventory_.gpus.size(), why));
  }
  taken_.insert(ids.begin(), ids.end());
  return ids;
}

void HostGpus::restore(const std::vector<std::string>& ids) {
  const os::Lock lock(mutex_);
  for (const std::string& id : ids) {
    if (!is_known(id)) spdlog::warn("a task has GPU {}, which is not there any more", printable(id));
    taken_.insert(id);
  }
}

void HostGpus::give_back(const std::vector<std::string>& ids) {
  const os::Lock lock(mutex_);
  for (const std::string& id : ids) taken_.erase(id);
}

docker::GpuSettings HostGpus::settings(const std::vector<std::string>& ids) const {
  switch (inventory_.vendor) {
    case Vendor::nvidia: return nvidia_settings(inventory_.gpus, ids, root_);
    case Vendor::amd: return amd_settings(ids);
    case Vendor::intel: return intel_settings(ids);
    case Vendor::tenstorrent: return tenstorrent_settings(ids, root_);
    case Vendor::none: break;
  }
  return {};
}

bool HostGpus::find_another_way(docker::GpuSettings& settings, std::string_view reason,
                                const std::vector<std::string>& cdi_devices) const {
  if (fails_for_display(settings, reason)) {
    drop_display(settings);
    return true;
  }
  if (!needs_cdi(reason)) return false;
  // Engines before 28.2 do not say what they know.
  return use_cdi(settings, inventory_.gpus, cdi_devices.empty() ? gpu::cdi_devices(root_) : cdi_devices);
}

std::vector<std::string> HostGpus::ids_of(const docker::ContainerDetails& container) const {
  std::vector<std::string> ids;
  const auto add = [this, &ids](const std::string& id) {
    if (is_known(id) && !std::ranges::contains(ids, id)) ids.push_back(id);
  };
  for (const auto& request : container.device_requests) {
    for (const std::string& name : request) add(id_of_cdi_device(name, inventory_.gpus));
  }
  for (const std::string& path : container.devices) {
    add(path);
    add(tenstorrent_id(path));
  }
  if (inventory_.vendor == Vendor::intel) {
    for (const std::string& variable : container.environment) std::ranges::for_each(intel_ids(variable), add);
  }
  return ids;
}

HostGpus::Counts HostGpus::counts() const {
  const os::Lock lock(mutex_);
  const auto taken = static_cast<std::size_t>(std::ranges::count_if(
      inventory_.gpus, [this](const Gpu& gpu) DSTACK_REQUIRES(mutex_) { return taken_.contains(gpu.id); }));
  return {.free = inventory_.gpus.size() - taken, .taken = taken};
}

bool HostGpus::is_known(const std::string& id) const { return std::ranges::contains(inventory_.gpus, id, &Gpu::id); }

}  // namespace dstack::shim::gpu
