#pragma once

#include <chrono>
#include <functional>
#include <stop_token>
#include <string>

#include "common/os/boot_id.h"
#include "shim/docker/container_watcher.h"
#include "shim/task/launcher.h"
#include "shim/task/task.h"
#include "shim/task/task_store.h"

namespace dstack::shim::task {

// What brings a task to its end. Every step may be repeated. All members block and throw Error; the step is then to be
// tried again.
class Finisher {
 public:
  // `on_keys_left` is called for each task whose keys could not be removed.
  Finisher(HostParts parts, const TaskStore& store, EngineResources& resources, std::function<void()> on_keys_left = {})
      : parts_(parts),
        store_(store),
        resources_(resources),
        on_keys_left_(std::move(on_keys_left)),
        boot_id_(os::boot_id()) {}

  // Reason and message for a container that ended by itself: why, as far as that is known, its exit status, its last
  // lines. Never fails: lines that cannot be had are left out.
  Ending ending_of(const TaskState& state, const docker::ContainerEnd& end, const std::stop_token& stop) const;

  // Afterwards no process of the task's container runs. One that was never started, or may not have been, is removed;
  // the engine is not asked if it was never asked for one.
  void stop_container(const TaskState& state, std::chrono::seconds grace, const std::stop_token& stop) const;

  // Cannot fail. The journal says so before, since this must not happen twice.
  void give_back_gpus(const TaskState& state) const;
  // Keys that cannot be removed are logged and left to the next start. Throws Error for a volume that cannot be
  // unmounted.
  void give_back_keys_and_volumes(const TaskState& state, const std::stop_token& stop) const;

  // How the container of a task that was stopped has ended; nothing if it is not known. Never fails.
  std::optional<docker::ContainerEnd> end_of(const TaskState& state, const std::stop_token& stop) const;

  // The container with its anonymous volumes, the networks and volumes that no other task uses, then the task's
  // folders.
  void remove(const TaskState& state, const std::stop_token& stop) const;

 private:
  void keep_logs(const TaskState& state, const std::stop_token& stop) const;
  void remove_container(const TaskState& state, const std::stop_token& stop) const;

  HostParts parts_;
  const TaskStore& store_;
  EngineResources& resources_;
  const std::function<void()> on_keys_left_;
  const std::string boot_id_;
};

}  // namespace dstack::shim::task
