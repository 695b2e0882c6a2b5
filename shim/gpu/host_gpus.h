#pragma once

#include <condition_variable>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "common/os/mutex.h"
#include "shim/gpu/gpu_pool.h"
#include "shim/gpu/inventory.h"
#include "shim/gpu/remarks.h"
#include "shim/gpu/sickness.h"

namespace dstack::shim::gpu {

// The GPUs of this host, and which of them tasks have. Which task has which is in the tasks' journals; here they are
// just taken or free. Until learn() they are not known: a task that wants one waits.
class HostGpus final : public GpuPool {
 public:
  explicit HostGpus(std::filesystem::path root = "/") : root_(std::move(root)) {}
  explicit HostGpus(Inventory inventory, std::filesystem::path root = "/")
      : root_(std::move(root)), inventory_(std::move(inventory)) {}

  // What was detected. Once; tasks that wait for it go on.
  void learn(Inventory inventory);

  bool known() const override { return inventory() != nullptr; }
  std::vector<std::string> take(std::int64_t count, const std::stop_token& stop) override;
  void restore(const std::vector<std::string>& ids) override;
  void give_back(const std::vector<std::string>& ids) override;
  docker::GpuSettings settings(const std::vector<std::string>& ids) const override;
  bool find_another_way(docker::GpuSettings& settings, std::string_view reason,
                        const std::vector<std::string>& cdi_devices) const override;
  // As long as the GPUs are not known: whatever looks like one.
  std::vector<std::string> ids_of(const docker::ContainerDetails& container) const override;

  // Null until it is known; then it does not change.
  const Inventory* inventory() const;

  // Those that are set aside: no task gets them. A task that has one keeps it.
  void set_sick(Sicknesses sick);
  Sicknesses sick() const;

  // What was last seen of them that does not keep tasks from them.
  void set_remarks(Remarks remarks);
  Remarks remarks() const;

  // NVIDIA's driver was upgraded and the host not restarted since, so that no GPU can be used: a sentence that says so,
  // or nothing.
  std::optional<std::string> driver_mismatch() const;

  // A GPU that is sick is neither free nor taken.
  struct Counts {
    std::size_t free = 0;
    std::size_t taken = 0;
    std::size_t sick = 0;
  };
  Counts counts() const;

 private:
  // Throws Error (internal) if the GPUs are not known.
  const Inventory& require_inventory() const;
  std::string id_of(const std::string& name) const DSTACK_REQUIRES(mutex_);

  const std::filesystem::path root_;
  mutable os::Mutex mutex_;
  std::condition_variable_any learned_;
  std::optional<Inventory> inventory_ DSTACK_GUARDED_BY(mutex_);  // set once
  std::set<std::string> taken_ DSTACK_GUARDED_BY(mutex_);
  Sicknesses sick_ DSTACK_GUARDED_BY(mutex_);
  Remarks remarks_ DSTACK_GUARDED_BY(mutex_);
};

}  // namespace dstack::shim::gpu
