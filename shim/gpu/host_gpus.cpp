#include "shim/gpu/host_gpus.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <format>

#include "common/error.h"
#include "shim/gpu/amd.h"
#include "shim/gpu/cdi.h"
#include "shim/gpu/driver_mismatch.h"
#include "shim/gpu/intel.h"
#include "shim/gpu/nvidia.h"
#include "shim/gpu/tenstorrent.h"
#include "shim/gpu/tool_output.h"

namespace dstack::shim::gpu {

namespace {

constexpr std::string_view kRenderNodes = "/dev/dri/renderD";

bool is_known(const Inventory& inventory, const std::string& id) {
  return std::ranges::contains(inventory.gpus, id, &Gpu::id);
}

void warn_of_missing(const std::string& id) {
  spdlog::warn("a task has GPU {}, which no longer exists", printable(id));
}

}  // namespace

void HostGpus::learn(Inventory inventory) {
  const os::Lock lock(mutex_);
  inventory_ = std::move(inventory);
  std::set<std::string> taken;
  for (const std::string& id : taken_) {
    if (!is_known(*inventory_, id_of(id))) warn_of_missing(id);
    taken.insert(id_of(id));
  }
  taken_ = std::move(taken);
  learned_.notify_all();
}

const Inventory* HostGpus::inventory() const {
  const os::Lock lock(mutex_);
  return inventory_ ? &*inventory_ : nullptr;
}

const Inventory& HostGpus::require_inventory() const {
  if (const Inventory* known = inventory()) return *known;
  throw Error(ErrorKind::internal, "the GPUs of this host are not known yet");
}

// A container may have been given a GPU by another name.
std::string HostGpus::id_of(const std::string& name) const {
  return inventory_ ? id_of_cdi_device(name, inventory_->gpus) : name;
}

std::vector<std::string> HostGpus::take(std::int64_t count, const std::stop_token& stop) {
  os::Lock lock(mutex_);
  learned_.wait(lock.native(), stop, [this]() DSTACK_REQUIRES(mutex_) { return inventory_.has_value(); });
  if (!inventory_) throw Error(ErrorKind::cancelled, "the wait for the detection of the GPUs was cancelled");
  const Inventory& inventory = *inventory_;
  std::vector<std::string> ids;
  // In the order of the host, where neighbours are often joined by a faster link.
  for (const Gpu& gpu : inventory.gpus) {
    if (count >= 0 && ids.size() == static_cast<std::size_t>(count)) break;
    if (!taken_.contains(gpu.id) && !sick_.contains(gpu.id)) ids.push_back(gpu.id);
  }
  if (count > 0 && ids.size() < static_cast<std::size_t>(count)) {
    std::string why = inventory.failure.empty() ? "" : "; " + inventory.failure;
    if (!sick_.empty()) why += std::format("; {} set aside as sick (dstack-shim doctor)", sick_.size());
    throw Error(ErrorKind::conflict, std::format("not enough GPUs: {} wanted, {} of {} free{}", count, ids.size(),
                                                 inventory.gpus.size(), why));
  }
  taken_.insert(ids.begin(), ids.end());
  return ids;
}

void HostGpus::restore(const std::vector<std::string>& ids) {
  const os::Lock lock(mutex_);
  for (const std::string& id : ids) {
    if (inventory_ && !is_known(*inventory_, id_of(id))) warn_of_missing(id);
    taken_.insert(id_of(id));
  }
}

void HostGpus::give_back(const std::vector<std::string>& ids) {
  const os::Lock lock(mutex_);
  for (const std::string& id : ids) taken_.erase(id_of(id));
}

docker::GpuSettings HostGpus::settings(const std::vector<std::string>& ids) const {
  const Inventory& inventory = require_inventory();
  switch (inventory.vendor) {
    case Vendor::nvidia: return nvidia_settings(inventory.gpus, ids, root_);
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
  return use_cdi(settings, require_inventory().gpus, cdi_devices.empty() ? gpu::cdi_devices(root_) : cdi_devices);
}

std::vector<std::string> HostGpus::ids_of(const docker::ContainerDetails& container) const {
  const Inventory* inventory = this->inventory();
  const Vendor vendor = inventory == nullptr ? dstack::gpu::detect_vendor(root_) : inventory->vendor;
  std::vector<std::string> ids;
  const auto add = [&ids, inventory](const std::string& id) {
    const bool good = inventory == nullptr ? is_id(id) : is_known(*inventory, id);
    if (good && !std::ranges::contains(ids, id)) ids.push_back(id);
  };
  for (const auto& request : container.device_requests) {
    for (const std::string& name : request) add(inventory == nullptr ? name : id_of_cdi_device(name, inventory->gpus));
  }
  for (const std::string& path : container.devices) {
    if (vendor == Vendor::amd && path.starts_with(kRenderNodes)) add(path);
    if (vendor == Vendor::tenstorrent) add(tenstorrent_id(path));
  }
  if (vendor == Vendor::intel) {
    for (const std::string& variable : container.environment) std::ranges::for_each(intel_ids(variable), add);
  }
  return ids;
}

void HostGpus::set_sick(Sicknesses sick) {
  const os::Lock lock(mutex_);
  sick_ = std::move(sick);
}

Sicknesses HostGpus::sick() const {
  const os::Lock lock(mutex_);
  return sick_;
}

void HostGpus::set_remarks(Remarks remarks) {
  const os::Lock lock(mutex_);
  remarks_ = std::move(remarks);
}

Remarks HostGpus::remarks() const {
  const os::Lock lock(mutex_);
  return remarks_;
}

std::optional<std::string> HostGpus::driver_mismatch() const {
  if (auto mismatch = find_driver_mismatch(root_)) return mismatch;
  const os::Lock lock(mutex_);
  const bool is_named = remarks_.driver_mismatch || (inventory_ && names_driver_mismatch(inventory_->failure));
  return is_named ? std::optional<std::string>(kDriverMismatch) : std::nullopt;
}

HostGpus::Counts HostGpus::counts() const {
  const os::Lock lock(mutex_);
  Counts counts;
  if (!inventory_) return counts;
  for (const Gpu& gpu : inventory_->gpus) {
    std::size_t& count = sick_.contains(gpu.id) ? counts.sick : taken_.contains(gpu.id) ? counts.taken : counts.free;
    ++count;
  }
  return counts;
}

}  // namespace dstack::shim::gpu
