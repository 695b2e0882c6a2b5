#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "shim/docker/container_spec.h"

namespace dstack::shim::gpu {

// Which GPUs of the host are free. A GPU belongs to one task at a time. Thread-safe.
class GpuPool {
 public:
  virtual ~GpuPool() = default;

  // `count` free ones, or with -1 all that are free, even none. Throws Error (conflict) if there are fewer.
  virtual std::vector<std::string> take(std::int64_t count) = 0;
  // After a restart: a task has these.
  virtual void restore(const std::vector<std::string>& ids) = 0;
  // Idempotent, as long as nobody has taken them since.
  virtual void give_back(const std::vector<std::string>& ids) = 0;
  // What a container needs to use them.
  virtual docker::GpuSettings settings(const std::vector<std::string>& ids) const = 0;
};

// A host without GPUs.
class NoGpus final : public GpuPool {
 public:
  std::vector<std::string> take(std::int64_t count) override;
  void restore(const std::vector<std::string>&) override {}
  void give_back(const std::vector<std::string>&) override {}
  docker::GpuSettings settings(const std::vector<std::string>&) const override { return {}; }
};

}  // namespace dstack::shim::gpu
