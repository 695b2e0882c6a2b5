#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/os/clock.h"
#include "shim/docker/container_spec.h"
#include "shim/gpu/inventory.h"

namespace dstack::shim::gpu {

// `nvidia-smi --query-gpu=name,memory.total,uuid,driver_version --format=csv,noheader,nounits`. A memory that the tool
// does not know (a Grace or Spark chip, which has no memory of its own) is 0. Throws Error (unavailable) that quotes
// the line for whatever is not a GPU.
Inventory parse_nvidia_smi(std::string_view output);

// Throws Error if nvidia-smi is absent, fails or prints nonsense. `root` is where /dev and /proc are.
Inventory detect_nvidia(const std::filesystem::path& root, os::Clock& clock = os::system_clock());

// /proc/driver/nvidia/gpus/<bus id>/information: "GPU UUID:" and "Device Minor:". The UUID is empty where the driver
// writes question marks, as it does of a GPU that nobody has used since it was loaded.
struct NvidiaDevice {
  std::string uuid;
  int minor = -1;
};
NvidiaDevice parse_nvidia_information(std::string_view text);

// A DeviceRequest by UUID for the container toolkit, and beside it the device nodes as plain devices: a reload of the
// service manager sets the container's device rules anew, and only what the engine itself knows of survives that. Not
// with WSL, which has other nodes, and not with MIG, where what a node gives is decided elsewhere.
docker::GpuSettings nvidia_settings(const std::vector<Gpu>& gpus, const std::vector<std::string>& ids,
                                    const std::filesystem::path& root);

// Whether a container that did not start for this reason may start without what its display capability brings along:
// hosts without /dev/nvidia-modeset have no screens to serve.
bool fails_for_display(const docker::GpuSettings& settings, std::string_view reason);
void drop_display(docker::GpuSettings& settings);

}  // namespace dstack::shim::gpu
