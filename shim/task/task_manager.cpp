#include "shim/task/task_manager.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <format>

#include "common/error.h"
#include "common/os/boot_id.h"
#include "common/os/file_locks.h"
#include "common/os/idle_memory.h"
#include "common/reason.h"
#include "common/termination_reason.h"
#include "shim/task/going_away.h"
#include "shim/task/restore.h"
#include "shim/task/task_messages.h"

namespace dstack::shim::task {

namespace {

// For what runs in a container whose owner has gone.
constexpr std::chrono::seconds kOwnerGrace{5};

constexpr std::chrono::hours kSweepInterval{1};
constexpr std::chrono::milliseconds kEndPause{100};

}  // namespace

TaskManager::TaskManager(const std::filesystem::path& home, HostParts parts, LaunchSettings settings, os::Clock& clock,
                         std::function<void(std::chrono::nanoseconds)> on_running, std::function<void()> on_keys_left)
    : parts_(parts),
      store_(home),
      runner_http_port_(settings.runner_http_port),
      resources_(parts.engine, store_.home()),
      launcher_(parts, store_, resources_, std::move(settings)),
      finisher_(parts, store_, resources_, std::move(on_keys_left)),
      clock_(clock),
      on_running_(std::move(on_running)),
      threads_(os::system_clock(), os::give_back_idle_memory),
      watcher_(parts.engine,
               {.ended = [this](const docker::ContainerEnd& end) { container_ended(end); },
                .listed = [this](const std::vector<docker::ContainerSummary>& all) { remove_leftovers(all); },
                .made = [this](const std::string& id, const std::string& task) { container_made(id, task); }},
               clock),
      owners_([](const std::filesystem::path& file) { return os::is_locked(file); },
              [this](const std::string& id) { owner_gone(id); }, clock),
      leftovers_(store_, parts.engine, known()) {}

// NOLINTNEXTLINE(bugprone-exception-escape): without memory for the list of tasks there is no orderly end
TaskManager::~TaskManager() {
  shut_down();
  sweeper_.reset();
  // A worker may still be about to tell the watcher of its container, and the watcher goes first.
  threads_.finish();
}

void TaskManager::restore() {
  for (TaskState& state : restore_tasks(store_, parts_.engine, parts_.gpus)) take_up(std::move(state));
  // Before the API answers, unlike the rest, which waits for the engine.
  parts_.keys.remove_leftovers();
  watcher_.start();
  threads_.run([this] { sweep_engine_and_files(exit_.get_token()); });
  const auto sweep = [this](const std::stop_token& stop) {
    parts_.keys.remove_leftovers();
    sweep_engine_and_files(stop);
  };
  sweeper_.emplace("look for leftovers", kSweepInterval, sweep, clock_);
}

void TaskManager::sweep_engine_and_files(const std::stop_token& stop) {
  resources_.sweep(stop);
  leftovers_.sweep(stop);
  parts_.puller.sweep(stop);
  if (parts_.kept_logs != nullptr) parts_.kept_logs->prune();
}

Leftovers::Known TaskManager::known() {
  return {.task =
              [this](const std::string& id) {
                const os::Lock lock(mutex_);
                return tasks_.contains(id);
              },
          .unless_container =
              [this](const std::string& name, const std::function<void()>& act) {
                const os::Lock lock(mutex_);
                for (const auto& [id, task] : tasks_) {
                  if (task->info().container_name == name) return;
                }
                act();
              },
          .volume =
              [this](const std::string& name) {
                const os::Lock lock(mutex_);
                return std::ranges::any_of(tasks_, [&name](const auto& entry) {
                  const TaskState state = entry.second->state();
                  return state.holds_volumes && !state.given_back &&
                         std::ranges::contains(state.config.volumes, name, &volume::VolumeInfo::name);
                });
              }};
}

void TaskManager::take_up(TaskState state) {
  if (!state.given_back) {
    if (state.gpu_ids && !state.gpus_given_back) parts_.gpus.restore(*state.gpu_ids);
    if (state.holds_keys) parts_.keys.restore(state.config.id, state.config.host_ssh_user, state.config.host_ssh_keys);
    if (state.holds_volumes) parts_.volumes.restore(state.config.id, state.config.volumes);
  }
  resources_.restore(state.config.id, state.config);
  watch_owner(state.config);
  spdlog::info("task {}: restored, {}", printable(state.config.id), name_of(state.status));
  if (const auto task = add(std::move(state))) task->begin();
}

TaskInfo TaskManager::submit(TaskConfig config, Secret registry_password) {
  TaskState state;
  state.container_name = container_name(config.name, config.id);
  state.config = std::move(config);
  state.submitted_at = os::unix_milliseconds(clock_.wall());
  state.boot_id = os::boot_id();
  // About to be taken, which saves the journal another flush.
  state.holds_keys = !state.config.host_ssh_keys.empty();
  state.holds_volumes = !state.config.volumes.empty();
  const std::string id = state.config.id;
  const auto task = add(state);
  if (!task) throw Error(ErrorKind::conflict, std::format("task {} is already submitted", printable(id)));
  const TaskInfo info = task->info();
  try {
    store_.add(state);
  } catch (const std::exception& error) {
    const os::Lock lock(mutex_);
    tasks_.erase(id);
    throw Error(ErrorKind::internal, std::format("submit task {}: {}", printable(id), reason_of(error)));
  }
  spdlog::info("task {}: submitted, image {}", printable(id), printable(state.config.image_name));
  watch_owner(state.config);
  task->begin(std::move(registry_password));
  return info;
}

std::vector<TaskListItem> TaskManager::list(bool with_local) const {
  const os::Lock lock(mutex_);
  std::vector<TaskListItem> items;
  for (const auto& [id, task] : tasks_) {
    if (with_local || !task->is_local()) items.push_back({.id = id, .status = task->info().status});
  }
  return items;
}

std::vector<TaskDetails> TaskManager::details() const {
  const os::Lock lock(mutex_);
  std::vector<TaskDetails> all;
  all.reserve(tasks_.size());
  for (const auto& [id, task] : tasks_) all.push_back(task->details(runner_http_port_));
  return all;
}

std::string TaskManager::output(const std::string& id, std::uint64_t offset, std::size_t limit) const {
  const auto task = find(id);
  if (task->config().process() == ProcessKind::image) return engine_output(*task, offset, limit);
  auto output = store_.read_output(task->info().container_name, offset, limit);
  if (!output) throw Error(ErrorKind::conflict, std::format("task {} has no output: no job has begun", printable(id)));
  return *std::move(output);
}

// What the engine kept of a container whose process is the image's.
std::string TaskManager::engine_output(const LiveTask& task, std::uint64_t offset, std::size_t limit) const {
  const TaskInfo info = task.info();
  if (info.container_id.empty() || !info.ports)
    throw Error(ErrorKind::conflict, std::format("task {} has no output: it has not started", printable(info.id)));
  std::string output;
  std::uint64_t position = 0;
  parts_.engine.read_output(info.container_id, [&](std::string_view piece) {
    const std::uint64_t begin = std::max(position, offset);
    position += piece.size();
    if (position > begin) output += piece.substr(piece.size() - (position - begin), limit - output.size());
    return output.size() < limit;
  });
  return output;
}

TaskInfo TaskManager::info(const std::string& id) const { return find(id)->info(); }

TaskInfo TaskManager::terminate(const std::string& id, Ending ending, std::chrono::seconds grace) {
  return find(id)->terminate(std::move(ending), grace);
}

std::vector<OutputTime> TaskManager::output_times(const std::string& id, std::uint64_t first, std::size_t limit) const {
  return read_output_times(store_.runner_folder(find(id)->info().container_name), first, limit);
}

void TaskManager::start(const std::string& id) { find(id)->start(); }

void TaskManager::remove(const std::string& id) { find(id)->remove(); }

void TaskManager::interrupt(const std::string& message) {
  if (exit_.stop_requested()) return;
  // An own shim of a launcher lies in its folder.
  announce_end_to_launcher(store_.home());
  const Ending ending{.reason = termination_reason::kInterruptedByNoCapacity, .message = message};
  for (const auto& task : live_tasks()) {
    if (!task->begin_interruption(ending)) continue;
    threads_.run(
        [this, task, ending = ending] { interrupt_task(*task, ending, runner_http_port_, clock_, exit_.get_token()); });
  }
}

void TaskManager::await_ends(std::chrono::seconds limit) {
  const os::SteadyTime deadline = clock_.now() + limit;
  const auto has_ended = [](const auto& task) { return task->info().status == TaskStatus::terminated; };
  while (!std::ranges::all_of(live_tasks(), has_ended) && clock_.now() < deadline) {
    if (!os::pause(clock_, kEndPause, exit_.get_token())) return;
  }
}

void TaskManager::end_interrupted(std::chrono::seconds limit) {
  for (const auto& task : live_tasks()) {
    const auto ending = task->interruption();
    const TaskConfig config = task->config();
    if (!ending || (config.container && !config.container->owner.empty())) continue;
    threads_.run([task, ending = *ending] {
      try {
        task->terminate(ending, std::chrono::seconds{0});
      } catch (const std::exception& error) {
        spdlog::warn("{}", error.what());
      }
    });
  }
  await_ends(limit);
}

void TaskManager::tell_jobs_of_gpu(const std::string& gpu_id, const std::string& message) {
  if (exit_.stop_requested()) return;
  for (const auto& task : live_tasks()) {
    const TaskState state = task->state();
    if (state.status == TaskStatus::terminated || !state.gpu_ids || !std::ranges::contains(*state.gpu_ids, gpu_id))
      continue;
    spdlog::warn("task {}: {}", printable(state.config.id), message);
    threads_.run(
        [this, task, message = message] { tell_job(*task, message, runner_http_port_, clock_, exit_.get_token()); });
  }
}

std::vector<std::string> TaskManager::needed_images() const {
  const os::Lock lock(mutex_);
  std::vector<std::string> images;
  for (const auto& [id, task] : tasks_) {
    const TaskState state = task->state();
    if (state.status != TaskStatus::terminated) images.push_back(state.config.image_name);
  }
  return images;
}

std::vector<host::TaskContainer> TaskManager::containers() const {
  const os::Lock lock(mutex_);
  std::vector<host::TaskContainer> containers;
  for (const auto& [id, task] : tasks_) {
    if (auto container = task->container()) containers.push_back(*std::move(container));
  }
  return containers;
}

void TaskManager::shut_down() {
  exit_.request_stop();
  for (const auto& task : live_tasks()) task->abandon();
}

std::vector<std::shared_ptr<LiveTask>> TaskManager::live_tasks() const {
  const os::Lock lock(mutex_);
  std::vector<std::shared_ptr<LiveTask>> tasks;
  tasks.reserve(tasks_.size());
  for (const auto& [id, task] : tasks_) tasks.push_back(task);
  return tasks;
}

std::shared_ptr<LiveTask> TaskManager::find(const std::string& id) const {
  const os::Lock lock(mutex_);
  const auto found = tasks_.find(id);
  if (found == tasks_.end()) throw Error(ErrorKind::not_found, std::format("task {} is not known", printable(id)));
  return found->second;
}

std::shared_ptr<LiveTask> TaskManager::add(TaskState state) {
  const TaskTools tools{.store = store_,
                        .launcher = launcher_,
                        .finisher = finisher_,
                        .watcher = watcher_,
                        .threads = threads_,
                        .clock = clock_,
                        .on_running = on_running_};
  const auto forget = [this](const std::string& id) {
    owners_.forget(id);
    const os::Lock lock(mutex_);
    tasks_.erase(id);
  };
  const std::string id = state.config.id;
  auto task = std::make_shared<LiveTask>(std::move(state), tools, forget);
  const os::Lock lock(mutex_);
  return tasks_.try_emplace(id, task).second ? task : nullptr;
}

void TaskManager::watch_owner(const TaskConfig& config) {
  if (config.container && !config.container->owner.empty()) owners_.watch(config.id, config.container->owner);
}

void TaskManager::owner_gone(const std::string& id) {
  if (exit_.stop_requested()) return;
  // The next look finds it again if this fails.
  owners_.forget(id);
  spdlog::info("task {}: its owner no longer holds the lock on its file", printable(id));
  threads_.run([this, id = id] {
    try {
      terminate(id, {.reason = termination_reason::kTerminatedByServer, .message = "Its owner exited"}, kOwnerGrace);
      remove(id);
    } catch (const std::exception& error) {
      if (error_kind(error) == ErrorKind::not_found || exit_.stop_requested()) return;
      spdlog::error("{}", error.what());
      if (const auto config = config_of(id)) watch_owner(*config);
    }
  });
}

std::optional<TaskConfig> TaskManager::config_of(const std::string& id) const {
  const os::Lock lock(mutex_);
  const auto found = tasks_.find(id);
  return found == tasks_.end() ? std::nullopt : std::optional(found->second->config());
}

TaskInspection TaskManager::inspect(const std::string& id) const {
  return inspect_task(find(id)->state(), find(id)->details(runner_http_port_), parts_.engine);
}

void TaskManager::container_ended(const docker::ContainerEnd& end) {
  std::vector<std::shared_ptr<LiveTask>> tasks;
  {
    const os::Lock lock(mutex_);
    for (const auto& [id, task] : tasks_) {
      if (task->has_container(end.container_id)) tasks.push_back(task);
    }
  }
  for (const auto& task : tasks) task->container_ended(end);
}

// The engine may carry out a create long after it was given up.
bool TaskManager::wants_container(const std::string& task_id, const std::string& container_id) const {
  const os::Lock lock(mutex_);
  const auto task = tasks_.find(task_id);
  return task != tasks_.end() && (task->second->may_make_container() || task->second->has_container(container_id));
}

void TaskManager::remove_leftovers(const std::vector<docker::ContainerSummary>& containers) {
  for (const docker::ContainerSummary& container : containers) {
    const auto label = container.labels.find(docker::kTaskIdLabel);
    if (label == container.labels.end() || container.status != docker::ContainerStatus::created) continue;
    if (store_.owns(container.mounts, container.labels)) container_made(container.id, label->second);
  }
}

void TaskManager::container_made(const std::string& container_id, const std::string& task_id) {
  if (exit_.stop_requested() || task_id.empty() || wants_container(task_id, container_id)) return;
  threads_.run([this, container_id = container_id, task_id = task_id] {
    try {
      const docker::Call call{.stop = exit_.get_token()};
      const auto container = parts_.engine.inspect(container_id, call);
      if (!container || container->status != docker::ContainerStatus::created) return;
      if (!belongs_to(*container, task_id, store_) || wants_container(task_id, container_id)) return;
      spdlog::warn("Removed container {}: its task has already ended", container->name);
      parts_.engine.remove(container_id, call);
    } catch (const std::exception& error) {
      spdlog::error("{}", error.what());
    }
  });
}

}  // namespace dstack::shim::task
