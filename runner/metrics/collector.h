#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/os/clock.h"
#include "runner/metrics/gpu.h"

namespace dstack::runner::metrics {

struct Metrics {
  std::int64_t timestamp_micro = 0;  // since the epoch
  std::uint64_t cpu_usage_micro = 0;
  std::uint64_t memory_usage_bytes = 0;
  std::uint64_t memory_working_set_bytes = 0;
  std::vector<GpuMetrics> gpus;
};

// What the container uses now; nothing where no cgroup can be read. Takes as long as the GPU tool does. From any
// thread.
std::optional<Metrics> collect(GpuReader& gpus, const os::Clock& clock = os::system_clock());

}  // namespace dstack::runner::metrics
