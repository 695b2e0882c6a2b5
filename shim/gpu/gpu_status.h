#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "shim/gpu/inventory.h"

namespace dstack::shim::gpu {

// What a vendor's tool, or the kernel, says of one GPU's health.
struct GpuStatus {
  std::string id;
  std::string bus_id;             // NVIDIA: "0000:3b:00.0", in lower case
  std::uint64_t uncorrected = 0;  // memory errors since the driver was loaded; 0 if that is not known
  bool is_lost = false;           // "[GPU is lost]" and the like
};

// The rows of `nvidia-smi --query-gpu=uuid,pci.bus_id,ecc.errors.uncorrected.volatile.total
// --format=csv,noheader,nounits`.
std::vector<GpuStatus> parse_nvidia_status(std::string_view output);

// The rows of `hl-smi --query-aip=index,ecc.errors.uncorrected.volatile.total --format=csv,noheader,nounits`.
std::vector<GpuStatus> parse_gaudi_status(std::string_view output);

// What AMD's driver counts in each block of a GPU (RAS), which is where amd-smi has it from. A GPU without a device in
// the kernel is left out. `root` is where /sys is.
std::vector<GpuStatus> read_amd_status(const std::vector<Gpu>& gpus, const std::filesystem::path& root);

// The ids of GPUs that are slowed down since they are too hot: the rows of `nvidia-smi
// --query-gpu=uuid,clocks_throttle_reasons.hw_thermal_slowdown,clocks_throttle_reasons.sw_thermal_slowdown
// --format=csv,noheader`.
std::vector<std::string> parse_hot_gpus(std::string_view output);

// A process that has memory of a GPU.
struct GpuProcess {
  std::string gpu_id;
  int pid = 0;
  std::int64_t memory = 0;  // MiB; 0 if that is not known

  friend auto operator<=>(const GpuProcess&, const GpuProcess&) = default;
};
// The rows of `nvidia-smi --query-compute-apps=gpu_uuid,pid,used_gpu_memory --format=csv,noheader,nounits`.
std::vector<GpuProcess> parse_gpu_processes(std::string_view output);

}  // namespace dstack::shim::gpu
