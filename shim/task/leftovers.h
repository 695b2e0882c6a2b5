#pragma once

#include <functional>
#include <set>
#include <stop_token>
#include <string>

#include "shim/docker/engine_client.h"
#include "shim/task/task_store.h"

namespace dstack::shim::task {

// What a home has of tasks that the shim does not know: what is certainly this shim's is removed, the rest is logged,
// once each. For one thread at a time.
class Leftovers {
 public:
  struct Known {
    // Of a task, by its id.
    std::function<bool(const std::string& task_id)> task;
    // Does `act` unless a task has a container of this name; no such task is added meanwhile.
    std::function<void(const std::string& container_name, const std::function<void()>& act)> unless_container;
    // Whether a task holds the volume of this name.
    std::function<bool(const std::string& volume)> volume;
  };

  Leftovers(const TaskStore& store, docker::EngineClient& engine, Known known)
      : store_(store), engine_(engine), known_(std::move(known)) {}

  // Does not throw.
  void sweep(const std::stop_token& stop);

 private:
  void sweep_containers(const std::vector<docker::ContainerSummary>& containers, const std::stop_token& stop);
  void sweep_folders(const std::vector<docker::ContainerSummary>& containers);
  void report_volumes();
  void report_once(const std::string& what);

  const TaskStore& store_;
  docker::EngineClient& engine_;
  const Known known_;
  std::set<std::string> reported_;
};

}  // namespace dstack::shim::task
