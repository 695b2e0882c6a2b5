#include "runner/metrics/collector.h"

#include <chrono>

#include "runner/metrics/cgroup.h"

namespace dstack::runner::metrics {

std::optional<Metrics> collect(GpuReader& gpus, const os::Clock& clock) {
  const auto since_epoch = clock.wall().time_since_epoch();
  const auto usage = read_cgroup_usage();
  if (!usage) return std::nullopt;
  return Metrics{.timestamp_micro = std::chrono::duration_cast<std::chrono::microseconds>(since_epoch).count(),
                 .cpu_usage_micro = usage->cpu_micro,
                 .memory_usage_bytes = usage->memory_bytes,
                 .memory_working_set_bytes = usage->working_set_bytes,
                 .gpus = gpus.read()};
}

}  // namespace dstack::runner::metrics
