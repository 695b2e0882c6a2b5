#pragma once

#include <filesystem>
#include <map>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/os/clock.h"
#include "shim/docker/container_spec.h"
#include "shim/gpu/inventory.h"

namespace dstack::shim::gpu {

// The GPUs that `nvidia-smi --query-gpu=name,memory.total,uuid,driver_version --format=csv,noheader,nounits` names, row
// by row. Whatever else stands there is logged and passed over. A memory that is not a number is 0, or `machine_memory`
// (MiB) of a chip whose GPU has no memory of its own.
Inventory parse_nvidia_smi(std::string_view output, std::int64_t machine_memory = 0);

// Throws Error if nvidia-smi is absent, hangs or names no GPU. `root` is where /dev and /proc are, and on WSL the tool.
Inventory detect_nvidia(const std::filesystem::path& root, os::Clock& clock = os::system_clock(),
                        const std::stop_token& stop = {});

// "00000000:18:00.0" and "0000:18:00.0" are the same place; nvidia-smi writes the first, the kernel the second. The
// latter, in lower case.
std::string short_bus_id(std::string_view text);

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
