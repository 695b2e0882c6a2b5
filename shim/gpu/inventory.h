#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/gpu/vendor.h"

namespace dstack::shim::gpu {

using dstack::gpu::Vendor;

struct Gpu {
  // What it is called in a container's settings and in a task's journal. NVIDIA: its UUID; AMD: the path of its render
  // node; Intel and Tenstorrent: its index.
  std::string id;
  std::string name;
  std::int64_t memory = 0;  // MiB; 0 if the tool does not know
  std::string bus_id = {};  // NVIDIA, and only where the driver does not tell by UUID which node is whose

  friend bool operator==(const Gpu&, const Gpu&) = default;
};

// What this host has. All its GPUs are of one vendor and have one driver.
struct Inventory {
  Vendor vendor = Vendor::none;     // none if there is no GPU, or its tool names none
  std::string driver_version = {};  // empty if not known
  std::vector<Gpu> gpus = {};
  std::string failure = {};  // why the GPUs of a host that has device nodes are not known
};

// The name and the memory (MiB) that the GPUs have: those of the first that has any, since a tool may not know each.
inline std::string name_of_gpus(const Inventory& inventory) {
  for (const Gpu& gpu : inventory.gpus) {
    if (!gpu.name.empty()) return gpu.name;
  }
  return {};
}
inline std::int64_t memory_of_gpus(const Inventory& inventory) {
  for (const Gpu& gpu : inventory.gpus) {
    if (gpu.memory > 0) return gpu.memory;
  }
  return 0;
}

}  // namespace dstack::shim::gpu
