#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/os/clock.h"
#include "shim/client/shim_api.h"
#include "shim/docker/engine_client.h"
#include "shim/top/host_usage.h"
#include "shim/top/snapshot.h"

namespace dstack::shim::top {

// Looks at the host: the shim for tasks, the engine for what they use, the vendor's tool for GPUs, the kernel for the
// rest. Each of them may be away: what it would have said is missing then, and the snapshot says why. Blocks for some
// seconds at most; from one thread at a time.
class Collector {
 public:
  // `gpus` asks the vendor's tool; see gpu_usage.h. `engine` may be missing, with the reason in `engine_problem`.
  Collector(client::ShimApi& shim, docker::EngineClient* engine, std::string engine_problem,
            std::function<std::vector<GpuRow>()> gpus, os::Clock& clock = os::system_clock());

  Snapshot collect();

 private:
  struct CpuSample {
    std::uint64_t nanoseconds;
    os::SteadyTime at;
  };

  void collect_tasks(Snapshot& snapshot);
  void collect_usage(Snapshot& snapshot);
  void collect_host(Snapshot& snapshot);
  // Percent of one core since the last look at this container.
  std::optional<double> cpu_percent_of(const std::string& container, std::uint64_t nanoseconds);

  client::ShimApi& shim_;
  docker::EngineClient* engine_;
  std::string engine_problem_;
  std::function<std::vector<GpuRow>()> gpus_;
  os::Clock& clock_;
  std::map<std::string, CpuSample> cpu_samples_;  // by container id
  std::optional<CpuTicks> host_ticks_;
  std::string data_folder_;  // the engine's; empty until it has told
};

// Gives each task the figures of its GPUs, and each GPU the task that holds it.
void match_gpus(Snapshot& snapshot);

}  // namespace dstack::shim::top
