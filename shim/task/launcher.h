#pragma once

#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "common/secret.h"
#include "shim/docker/engine_client.h"
#include "shim/docker/image_pull.h"
#include "shim/gpu/gpu_pool.h"
#include "shim/host/key_ring.h"
#include "shim/task/engine_resources.h"
#include "shim/task/kept_logs.h"
#include "shim/task/task.h"
#include "shim/task/task_store.h"
#include "shim/volume/volume_manager.h"

namespace dstack::shim::task {

// What the tasks of this host take from it.
struct HostParts {
  docker::EngineClient& engine;
  docker::ImagePuller& puller;
  host::KeyRing& keys;
  volume::VolumeManager& volumes;
  gpu::GpuPool& gpus;
  KeptLogs* kept_logs = nullptr;  // where logs of removed tasks go; null: they are removed
};

// What every container gets.
struct LaunchSettings {
  std::filesystem::path runner_binary;
  std::string runner_log_level = "info";
  std::string runner_ssh_log_level;
  int runner_http_port = 10999;
  int runner_ssh_port = 10022;
  bool privileged = false;
  std::int64_t task_pids = 32768;        // processes and threads of one container; 0: no limit
  std::int64_t task_disk = 0;            // bytes of a container's own layer; 0: no limit
  std::vector<std::string> environment;  // "NAME=value"
};

// A step failed: the task ends for this reason.
struct LaunchFailure {
  Ending ending;
};

// Brings one task from pending to running: folders, GPUs, keys and volumes, the image, the container. Each step is
// written to the journal before it changes anything, so that whoever reads it knows what may be there.
class Launcher {
 public:
  // Called with the state before each step and at the end; writes the journal and shows the state to the API.
  using Publish = std::function<void(const TaskState&)>;

  Launcher(HostParts parts, const TaskStore& store, EngineResources& resources, LaunchSettings settings)
      : parts_(parts), store_(store), resources_(resources), settings_(std::move(settings)) {}

  // Blocks, on the task's worker. Throws LaunchFailure, or Error (cancelled) when `stop` ended a step; what was taken
  // by then is left for the ending to give back, and a container that the engine makes all the same is left to whoever
  // sees it (TaskManager).
  //
  // `await_start` blocks until a container that is to be started later may be; it throws Error.
  void launch(TaskState& state, const Secret& registry_password, const Publish& publish,
              const std::function<void(const docker::PullProgress&)>& on_progress,
              const std::function<void(const std::stop_token&)>& await_start, const std::stop_token& stop) const;

 private:
  void prepare(TaskState& state, const Publish& publish, const std::stop_token& stop) const;
  void pull(TaskState& state, const Secret& registry_password, const Publish& publish,
            const std::function<void(const docker::PullProgress&)>& on_progress, const std::stop_token& stop) const;
  docker::PullRequest pull_request(const TaskState& state, const Secret& registry_password,
                                   const std::function<void(const docker::PullProgress&)>& on_progress) const;
  void create(TaskState& state, const Secret& registry_password, const Publish& publish,
              const std::function<void(const docker::PullProgress&)>& on_progress, const std::stop_token& stop) const;
  void make_container(TaskState& state, const docker::ContainerSpec& spec, const std::stop_token& stop) const;
  void start(TaskState& state, const Publish& publish, const std::stop_token& stop) const;
  void start_container(TaskState& state, const Publish& publish, const std::stop_token& stop) const;
  // The engine is asked what it knows where that matters. Throws Error.
  bool find_another_way(docker::GpuSettings& gpus, std::string_view reason, const std::stop_token& stop) const;
  docker::ContainerSpec container_spec(const TaskState& state, const std::stop_token& stop) const;
  void add_runner(docker::ContainerSpec& spec, const TaskState& state) const;
  // What is not known is taken for usual.
  docker::EngineMode engine_mode(const std::stop_token& stop) const;
  void give_token(TaskState& state, const Publish& publish) const;

  HostParts parts_;
  const TaskStore& store_;
  EngineResources& resources_;
  LaunchSettings settings_;
};

// Whether this container is this task's: its label names it, and it is of this home.
bool belongs_to(const docker::ContainerDetails& container, const std::string& task_id, const TaskStore& store);

// The path on the host that the container has as /tmp/runner; empty if it has none.
std::string runner_folder_of(const std::vector<docker::ContainerMount>& mounts);

}  // namespace dstack::shim::task
