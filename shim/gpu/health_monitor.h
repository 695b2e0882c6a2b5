#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/os/clock.h"
#include "common/os/repeating_thread.h"
#include "common/os/unique_fd.h"
#include "shim/gpu/host_gpus.h"
#include "shim/gpu/inventory.h"
#include "shim/gpu/sick_gpus.h"

namespace dstack::shim::gpu {

// What nvidia-smi says of one GPU.
struct GpuStatus {
  std::string id;
  std::string bus_id;             // "0000:3b:00.0", in lower case
  std::uint64_t uncorrected = 0;  // memory errors since the driver was loaded; 0 if it does not say
  bool is_lost = false;           // "[GPU is lost]" and the like
};
// The rows of `nvidia-smi --query-gpu=uuid,pci.bus_id,ecc.errors.uncorrected.volatile.total
// --format=csv,noheader,nounits`.
std::vector<GpuStatus> parse_gpu_status(std::string_view output);

// Sets NVIDIA GPUs aside that the kernel's log, or nvidia-smi, says are not well. For one thread.
class HealthExamination {
 public:
  // `root` is where /dev is, and on WSL the tool.
  HealthExamination(SickGpus& sick, std::vector<Gpu> gpus, std::filesystem::path root, os::Clock& clock);

  // Does not throw.
  void read_kernel_log();
  void ask_tool(const std::stop_token& stop);

 private:
  void take_record(std::string_view line);
  void judge(const std::vector<GpuStatus>& all);

  SickGpus& sick_;
  const std::vector<Gpu> gpus_;
  const std::filesystem::path root_;
  os::Clock& clock_;
  os::UniqueFd kernel_log_;
  bool kernel_log_missing_ = false;
  std::map<std::string, std::string> ids_;  // by bus id without the function
  std::map<std::string, int> absent_;       // how often in a row the tool did not name a GPU
};

// The same every few seconds, on a thread of its own.
class HealthMonitor {
 public:
  // Begins with NVIDIA's GPUs, as soon as they are known. `gpus` outlives this object.
  HealthMonitor(SickGpus& sick, const HostGpus& gpus, std::filesystem::path root = "/",
                os::Clock& clock = os::system_clock());

 private:
  void look(const std::stop_token& stop);

  SickGpus& sick_;
  const HostGpus& gpus_;
  const std::filesystem::path root_;
  os::Clock& clock_;
  std::optional<HealthExamination> examination_;
  os::SteadyTime tool_due_;
  os::RepeatingThread thread_;  // last: it uses the others
};

}  // namespace dstack::shim::gpu
