#pragma once

#include <cstddef>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "common/os/mutex.h"
#include "shim/gpu/gpu_pool.h"
#include "shim/gpu/inventory.h"

namespace dstack::shim::gpu {

// The GPUs that were found at the start, and who has them. Who that is stands in the tasks' journals; here they are
// just taken or free.
class HostGpus final : public GpuPool {
 public:
  explicit HostGpus(Inventory inventory, std::filesystem::path root = "/")
      : inventory_(std::move(inventory)), root_(std::move(root)) {}

  std::vector<std::string> take(std::int64_t count) override;
  void restore(const std::vector<std::string>& ids) override;
  void give_back(const std::vector<std::string>& ids) override;
  docker::GpuSettings settings(const std::vector<std::string>& ids) const override;
  bool find_another_way(docker::GpuSettings& settings, std::string_view reason,
                        const std::vector<std::string>& cdi_devices) const override;
  std::vector<std::string> ids_of(const docker::ContainerDetails& container) const override;

  const Inventory& inventory() const { return inventory_; }

  struct Counts {
    std::size_t free = 0;
    std::size_t taken = 0;
  };
  Counts counts() const;

 private:
  bool is_known(const std::string& id) const;

  const Inventory inventory_;
  const std::filesystem::path root_;
  mutable os::Mutex mutex_;
  std::set<std::string> taken_ DSTACK_GUARDED_BY(mutex_);
};

}  // namespace dstack::shim::gpu
