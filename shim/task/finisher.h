#pragma once

#include <chrono>
#include <stop_token>

#include "shim/docker/container_watcher.h"
#include "shim/task/launcher.h"
#include "shim/task/task.h"
#include "shim/task/task_store.h"

namespace dstack::shim::task {

// What brings a task to its end. Every step may be repeated. All members block and throw Error; the step is then to be
// tried again.
class Finisher {
 public:
  Finisher(HostParts parts, const TaskStore& store) : parts_(parts), store_(store) {}

  // Reason and message for a container that ended by itself, with its last words. Never fails: words that cannot be had
  // are left out.
  Ending ending_of(const docker::ContainerEnd& end, std::stop_token stop) const;

  // Afterwards no process of the task's container runs. One that was never started, or may not have been, is removed.
  void stop_container(const TaskState& state, std::chrono::seconds grace, std::stop_token stop) const;

  // Volumes, keys and GPUs, in this order: the GPUs last, since that cannot fail and must not happen twice.
  void give_back(const TaskState& state, std::stop_token stop) const;

  // The container with its anonymous volumes, then the task's folders.
  void remove(const TaskState& state, std::stop_token stop) const;

 private:
  void remove_container(const TaskState& state, std::stop_token stop) const;

  HostParts parts_;
  const TaskStore& store_;
};

}  // namespace dstack::shim::task
