#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "shim/docker/container_spec.h"
#include "shim/docker/engine_types.h"

namespace dstack::shim::gpu {

// Which GPUs of the host are free. A GPU belongs to one task at a time. Thread-safe.
class GpuPool {
 public:
  virtual ~GpuPool() = default;

  // Whether the host's GPUs have been detected.
  virtual bool known() const { return true; }
  // `count` free ones, or with -1 all that are free, even none. Waits until the GPUs are known. Throws Error: conflict
  // if there are fewer, cancelled if `stop` comes first.
  virtual std::vector<std::string> take(std::int64_t count, const std::stop_token& stop) = 0;
  // After a restart: a task has these.
  virtual void restore(const std::vector<std::string>& ids) = 0;
  // Idempotent, as long as nobody has taken them since.
  virtual void give_back(const std::vector<std::string>& ids) = 0;
  // What a container needs to use them. They were taken, so the GPUs are known.
  virtual docker::GpuSettings settings(const std::vector<std::string>& ids) const = 0;
  // For a container with these settings that did not start, for the engine's `reason`: changes them to another way to
  // have the same GPUs. False if there is none that was not tried. `cdi_devices` are those that the engine knows.
  virtual bool find_another_way(docker::GpuSettings&, std::string_view /*reason*/,
                                const std::vector<std::string>& /*cdi_devices*/) const {
    return false;
  }
  // Those that a container has, told by what it was made with: for containers without a journal.
  virtual std::vector<std::string> ids_of(const docker::ContainerDetails&) const { return {}; }
};

}  // namespace dstack::shim::gpu
