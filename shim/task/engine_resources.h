#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <stop_token>
#include <string>
#include <utility>

#include "common/os/mutex.h"
#include "shim/docker/engine_client.h"
#include "shim/task/task_config.h"

namespace dstack::shim::task {

// The engine's networks and volumes that tasks share by name. One that is missing is made, with a label that names this
// shim's home, and removed with the last task that uses it; one that was there, or has another label, is used and
// never removed, and so is a volume that is to be kept. All members may be called from any thread.
class EngineResources {
 public:
  EngineResources(docker::EngineClient& engine, const std::filesystem::path& home)
      : engine_(engine), home_(home.string()) {}

  // Makes what is missing for this task and counts it as a user; before its container is made. Throws Error.
  void make(const std::string& task_id, const TaskConfig& config, const std::stop_token& stop);
  // Counts a task of the last process as a user.
  void restore(const std::string& task_id, const TaskConfig& config);
  // The task is no user any more, and its container is gone: removes what nobody uses. What cannot be removed is
  // logged and left to the next release, or sweep. Throws Error (cancelled) only.
  void release(const std::string& task_id, const std::stop_token& stop);
  // Removes what this home made and no task uses: what a shim that was killed left behind. Does not throw.
  void sweep(const std::stop_token& stop);

 private:
  using Kind = docker::EngineClient::Resource;
  using Key = std::pair<Kind, std::string>;

  static std::set<Key> keys_of(const TaskConfig& config);
  void make_one(const Key& key, bool keep, const std::stop_token& stop);
  // Removes it if it is ours and no task uses it; under making_. False if that has to be tried again.
  bool remove_one(const Key& key, const std::stop_token& stop);
  bool is_used(const Key& key);

  docker::EngineClient& engine_;
  const std::string home_;

  // Held while the engine is asked, so that nothing is removed that another task is about to use.
  os::Mutex making_;
  os::Mutex mutex_;
  std::map<std::string, std::set<Key>> users_ DSTACK_GUARDED_BY(mutex_);  // task id → what it uses
  std::set<Key> left_ DSTACK_GUARDED_BY(mutex_);                          // could not be removed
};

}  // namespace dstack::shim::task
