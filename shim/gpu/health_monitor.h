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
#include "shim/gpu/gpu_remarks.h"
#include "shim/gpu/gpu_status.h"
#include "shim/gpu/host_gpus.h"
#include "shim/gpu/inventory.h"
#include "shim/gpu/sick_gpus.h"

namespace dstack::shim::gpu {

// Sets GPUs aside that the kernel, or their vendor's tool, says are not well (docs/operating.md). For one thread.
class HealthExamination {
 public:
  // Of one vendor's GPUs. `root` is where /dev, /proc and /sys are, and on WSL the tool.
  HealthExamination(SickGpus& sick, Vendor vendor, std::vector<Gpu> gpus, std::filesystem::path root, os::Clock& clock);

  // Does not throw.
  void read_kernel_log();  // NVIDIA's
  void ask_tool(const std::stop_token& stop);

  // As of the last ask_tool(); empty for other vendors than NVIDIA.
  const Remarks& remarks() const { return remarks_.seen(); }

 private:
  std::vector<GpuStatus> status(const std::stop_token& stop);
  void take_record(std::string_view line);
  void judge(const std::vector<GpuStatus>& all);

  SickGpus& sick_;
  const Vendor vendor_;
  const std::vector<Gpu> gpus_;
  const std::filesystem::path root_;
  os::Clock& clock_;
  os::UniqueFd kernel_log_;
  bool kernel_log_missing_ = false;
  std::map<std::string, std::string> ids_;  // by bus id without the function
  std::map<std::string, int> absent_;       // how often in a row the tool did not name a GPU
  GpuRemarks remarks_;
};

// The same every few seconds, on a thread of its own; what is no reason to set a GPU aside is told to `gpus`.
class HealthMonitor {
 public:
  // Begins as soon as the GPUs are known, if they are NVIDIA's, AMD's or Intel's. `gpus` outlives this object.
  HealthMonitor(SickGpus& sick, HostGpus& gpus, std::filesystem::path root = "/",
                os::Clock& clock = os::system_clock());

 private:
  void look(const std::stop_token& stop);
  void look_at_driver();

  SickGpus& sick_;
  HostGpus& gpus_;
  const std::filesystem::path root_;
  os::Clock& clock_;
  std::optional<HealthExamination> examination_;
  os::SteadyTime tool_due_;
  bool driver_mismatch_logged_ = false;
  os::RepeatingThread thread_;  // last: it uses the others
};

}  // namespace dstack::shim::gpu
