#include "shim/task/restore.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <format>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include "common/error.h"
#include "common/termination_reason.h"
#include "shim/docker/container_spec.h"
#include "shim/task/launcher.h"

namespace dstack::shim::task {

namespace {

using docker::ContainerStatus;
using docker::ContainerSummary;

std::string task_id_of(const ContainerSummary& container) {
  const auto label = container.labels.find(docker::kTaskIdLabel);
  return label == container.labels.end() ? "" : label->second;
}

// One container that cannot be looked at keeps no other from being restored.
std::optional<docker::ContainerDetails> look_at(const std::string& id, docker::EngineClient& engine) {
  try {
    return engine.inspect(id);
  } catch (const std::exception& error) {
    spdlog::error("Container {} is restored without its ports and GPUs: {}", id, error.what());
    return std::nullopt;
  }
}

void set_ports(TaskState& state, docker::EngineClient& engine) {
  state.ports.emplace();
  if (state.config.network_mode == docker::NetworkMode::host) return;
  if (const auto details = look_at(state.container_id, engine)) state.ports = details->ports;
}

// What could not be written is found out again at the next start.
void write(const TaskState& state, const std::function<void()>& save) {
  try {
    save();
  } catch (const std::exception& error) {
    spdlog::error("task {}: its journal is out of date: {}", printable(state.config.id), error.what());
  }
}

// A task whose steps were cut off. Returns whether the journal changed.
bool resume(TaskState& state, const ContainerSummary* container, docker::EngineClient& engine) {
  if (state.status == TaskStatus::running || state.status == TaskStatus::terminated || state.ending) return false;
  // The journal may be from before that.
  if (container != nullptr) state.create_sent = true;
  if (container != nullptr && container->status != ContainerStatus::created) {
    state.container_id = container->id;
    state.status = TaskStatus::running;
    set_ports(state, engine);
    return true;
  }
  const bool early = state.status == TaskStatus::pending || state.status == TaskStatus::preparing;
  state.ending = {.reason = early ? termination_reason::kExecutorError : termination_reason::kCreatingContainerError,
                  .message = std::format("dstack-shim was restarted while the task was {}", name_of(state.status))};
  return true;
}

// Which volumes a container has, by where they are mounted on the host; it knows no more of them, and no more is needed
// to unmount them.
std::vector<volume::VolumeInfo> volumes_of(const ContainerSummary& container) {
  std::vector<volume::VolumeInfo> volumes;
  for (const docker::ContainerMount& mount : container.mounts) {
    const std::filesystem::path source = mount.source;
    if (source.parent_path() == volume::kVolumesFolder) volumes.push_back({.name = source.filename().string()});
  }
  return volumes;
}

// A task of the reference shim, which keeps no journal.
TaskState adopt(const ContainerSummary& container, docker::EngineClient& engine, const gpu::GpuPool& gpus) {
  TaskState state;
  state.config.id = task_id_of(container);
  state.config.name = container.name;
  state.container_name = container.name;
  if (container.created && *container.created > 0 && *container.created < INT32_MAX * std::int64_t{100})
    state.submitted_at = *container.created * 1000;
  state.container_id = container.id;
  state.create_sent = true;
  if (container.labels.contains(docker::kHomeLabel)) {
    // A plain one, of which more is not known.
    state.config.local = true;
    state.config.container.emplace().process = ProcessKind::image;
  }
  state.gpu_ids.emplace();
  state.ports.emplace();
  state.config.volumes = volumes_of(container);
  state.holds_volumes = !state.config.volumes.empty();
  if (container.status == ContainerStatus::created) {
    state.status = TaskStatus::creating;
    state.ending = {.reason = termination_reason::kCreatingContainerError,
                    .message = "dstack-shim was restarted before the start"};
    return state;
  }
  state.status = TaskStatus::running;
  if (const auto details = look_at(container.id, engine)) {
    state.config.network_mode = details->host_network ? docker::NetworkMode::host : docker::NetworkMode::bridge;
    state.ports = details->ports;
    state.gpu_ids = gpus.ids_of(*details);
    if (!state.gpu_ids->empty()) state.config.gpu = static_cast<std::int64_t>(state.gpu_ids->size());
  }
  return state;
}

}  // namespace

std::vector<TaskState> restore_tasks(const TaskStore& store, docker::EngineClient& engine, const gpu::GpuPool& gpus) {
  std::vector<TaskState> states = store.load();
  std::map<std::string, const ContainerSummary*> containers;
  const std::vector<ContainerSummary> all = engine.list(docker::kTaskLabel);
  for (const ContainerSummary& container : all) {
    if (!task_id_of(container).empty() && store.owns(container.mounts, container.labels)) {
      containers.emplace(task_id_of(container), &container);
    }
  }

  std::set<std::string> known;
  for (TaskState& state : states) {
    known.insert(state.config.id);
    const auto found = containers.find(state.config.id);
    if (resume(state, found == containers.end() ? nullptr : found->second, engine))
      write(state, [&] { store.save(state, TaskStore::Flush::now); });
  }
  for (const auto& [id, container] : containers) {
    if (known.contains(id)) continue;
    spdlog::info("adopting container {} as task {} (no journal found)", container->name, printable(id));
    states.push_back(adopt(*container, engine, gpus));
    write(states.back(), [&] { store.add(states.back()); });
  }
  return states;
}

}  // namespace dstack::shim::task
