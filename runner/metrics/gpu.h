#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/gpu/vendor.h"
#include "common/os/clock.h"

namespace dstack::runner::metrics {

struct GpuMetrics {
  std::uint64_t memory_usage_bytes = 0;
  std::uint64_t utilization_percent = 0;

  friend bool operator==(const GpuMetrics&, const GpuMetrics&) = default;
};

// Asks the vendor's tool, for 5 s at most. An absent, failing, slow or incomprehensible one gives an empty list.
std::vector<GpuMetrics> read_gpu_metrics(gpu::Vendor vendor, os::Clock& clock = os::system_clock());

// "MiB, percent" a line, as nvidia-smi and hl-smi print it. Nothing if a line has something else.
std::optional<std::vector<GpuMetrics>> parse_smi_csv(std::string_view output);
// amd-smi's table with a header; the columns gfx (percent) and vram_used (MiB) count.
std::optional<std::vector<GpuMetrics>> parse_amd_smi_csv(std::string_view output);

}  // namespace dstack::runner::metrics
