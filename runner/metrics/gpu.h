#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

#include "common/gpu/vendor.h"
#include "common/os/clock.h"
#include "common/os/mutex.h"

namespace dstack::runner::metrics {

struct GpuMetrics {
  std::uint64_t memory_usage_bytes = 0;
  std::uint64_t utilization_percent = 0;

  friend bool operator==(const GpuMetrics&, const GpuMetrics&) = default;
};

// Asks the vendor's tool, for 5 s at most. An absent, failing, slow or incomprehensible one gives an empty list.
std::vector<GpuMetrics> read_gpu_metrics(gpu::Vendor vendor, os::Clock& clock = os::system_clock(),
                                         const std::filesystem::path& root = "/");

// The GPUs' metrics for many callers at once: those who ask while the tool is at work share its answer, so a tool that
// hangs costs one process and no caller more than its time limit.
class GpuReader {
 public:
  explicit GpuReader(os::Clock& clock = os::system_clock(), gpu::Vendor vendor = gpu::detect_vendor())
      : clock_(clock), vendor_(vendor) {}

  // Takes 6 s at most. From any thread.
  std::vector<GpuMetrics> read();
  // How many callers wait for the tool that another one has started.
  int waiting() const { return waiting_; }

 private:
  os::Clock& clock_;
  const gpu::Vendor vendor_;
  os::Mutex mutex_;
  std::condition_variable changed_;
  bool reading_ DSTACK_GUARDED_BY(mutex_) = false;
  std::atomic<int> waiting_ = 0;
  std::vector<GpuMetrics> last_ DSTACK_GUARDED_BY(mutex_);
};

// "MiB, percent" a line, as nvidia-smi and hl-smi print it. A value that is not a number is 0, a line without any is
// not a GPU's.
std::vector<GpuMetrics> parse_smi_csv(std::string_view output);
// amd-smi's table with a header; the columns gfx (percent) and vram_used (MiB) count. The same.
std::vector<GpuMetrics> parse_amd_smi_csv(std::string_view output);

}  // namespace dstack::runner::metrics
