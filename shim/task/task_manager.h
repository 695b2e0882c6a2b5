#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/os/clock.h"
#include "common/os/mutex.h"
#include "common/os/repeating_thread.h"
#include "common/secret.h"
#include "shim/docker/container_watcher.h"
#include "shim/host/peer_guard.h"
#include "shim/task/finisher.h"
#include "shim/task/launcher.h"
#include "shim/task/leftovers.h"
#include "shim/task/live_task.h"
#include "shim/task/output_times.h"
#include "shim/task/owner_watch.h"
#include "shim/task/task_inspection.h"
#include "shim/task/task_store.h"
#include "shim/task/worker_threads.h"

namespace dstack::shim::task {

struct TaskListItem {
  std::string id;
  TaskStatus status;
};

// All tasks of this shim. Members throw Error: not_found for an unknown id, and as LiveTask's. From any thread.
class TaskManager {
 public:
  // `on_running` hears of every task that has come to run, and how long that took since its submission; on the task's
  // worker, before the API shows it. `on_keys_left` hears of every task whose host keys could not be removed.
  TaskManager(const std::filesystem::path& home, HostParts parts, LaunchSettings settings,
              os::Clock& clock = os::system_clock(), std::function<void(std::chrono::nanoseconds)> on_running = {},
              std::function<void()> on_keys_left = {});
  TaskManager(const TaskManager&) = delete;
  TaskManager& operator=(const TaskManager&) = delete;
  // Tasks stay as they are, and so do their containers.
  ~TaskManager();

  // Takes up what the last process left, and begins to watch containers. Once, before anything else.
  void restore();

  // Writes the task down, lets it begin and answers at once. Error (conflict) for an id that is known.
  TaskInfo submit(TaskConfig config, Secret registry_password);

  // Those of servers, or those of people as well.
  std::vector<TaskListItem> list(bool with_local) const;
  // Of all tasks, a person's too.
  std::vector<TaskDetails> details() const;
  TaskInfo info(const std::string& id) const;
  // Everything there is to know of one, also what only the engine knows.
  TaskInspection inspect(const std::string& id) const;
  // What the task's job has written, from `offset` on and `limit` bytes at most; without a runner, what the engine has
  // kept of the container's output. Error (conflict) if no job has begun.
  std::string output(const std::string& id, std::uint64_t offset, std::size_t limit) const;
  TaskInfo terminate(const std::string& id, Ending ending, std::chrono::seconds grace);
  // The times of a job's lines from number `first` on, see output_times.h.
  std::vector<OutputTime> output_times(const std::string& id, std::uint64_t first, std::size_t limit) const;
  void start(const std::string& id);
  void remove(const std::string& id);

  // The host goes down, for the reason in `message`: jobs are stopped, whatever has no job yet or a program of its own
  // is terminated, CI launchers learn of it. Returns at once; to be called again for tasks that have come since.
  void interrupt(const std::string& message);
  // Waits until all tasks are terminated, `limit` at most.
  void await_ends(std::chrono::seconds limit);
  // Terminates the interrupted tasks whose jobs' ends were not read, so that the journal has the reason when the host
  // boots again; not those of a CI launcher. Waits for that, `limit` at most.
  void end_interrupted(std::chrono::seconds limit);
  // Puts a line into the runner log of each task that has this GPU. Returns at once.
  void tell_jobs_of_gpu(const std::string& gpu_id, const std::string& message);

  // Of the tasks that are not terminated, as they were submitted.
  std::vector<std::string> needed_images() const;

  // Of the tasks that are not terminated: also one that is about to start, or about to be stopped.
  std::vector<host::TaskContainer> containers() const;

  // The process is about to leave: whoever waits in terminate() or remove() gets an Error, steps are broken off.
  void shut_down();

 private:
  std::shared_ptr<LiveTask> find(const std::string& id) const;
  std::vector<std::shared_ptr<LiveTask>> live_tasks() const;
  std::shared_ptr<LiveTask> add(TaskState state);
  void take_up(TaskState state);
  void container_ended(const docker::ContainerEnd& end);
  void watch_owner(const TaskConfig& config);
  void owner_gone(const std::string& id);
  std::optional<TaskConfig> config_of(const std::string& id) const;
  std::string engine_output(const LiveTask& task, std::uint64_t offset, std::size_t limit) const;
  bool wants_container(const std::string& task_id, const std::string& container_id) const;
  // By this engine, for a task of any shim; removed if it is for one of ours that has ended. Does not block.
  void container_made(const std::string& container_id, const std::string& task_id);
  void remove_leftovers(const std::vector<docker::ContainerSummary>& containers);
  // Removes what is left of tasks that are not known: beside the start, and every hour.
  void sweep_engine_and_files(const std::stop_token& stop);
  Leftovers::Known known();

  const HostParts parts_;
  const TaskStore store_;
  const int runner_http_port_;  // inside of containers
  EngineResources resources_;
  const Launcher launcher_;
  const Finisher finisher_;
  os::Clock& clock_;
  const std::function<void(std::chrono::nanoseconds)> on_running_;

  mutable os::Mutex mutex_;
  std::map<std::string, std::shared_ptr<LiveTask>> tasks_ DSTACK_GUARDED_BY(mutex_);
  std::stop_source exit_;

  // Destroyed in this order: the watchers first, then the threads of what they started.
  WorkerThreads threads_;
  docker::ContainerWatcher watcher_;
  OwnerWatch owners_;
  Leftovers leftovers_;
  std::optional<os::RepeatingThread> sweeper_;  // last: it ends first
};

}  // namespace dstack::shim::task
