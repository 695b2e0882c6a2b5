#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "common/os/clock.h"
#include "common/os/mutex.h"
#include "common/secret.h"
#include "shim/docker/container_watcher.h"
#include "shim/host/peer_guard.h"
#include "shim/task/finisher.h"
#include "shim/task/launcher.h"
#include "shim/task/task.h"
#include "shim/task/worker_threads.h"

namespace dstack::shim::task {

// What all live tasks work with.
struct TaskTools {
  const TaskStore& store;
  const Launcher& launcher;
  const Finisher& finisher;
  docker::ContainerWatcher& watcher;
  WorkerThreads& threads;
  os::Clock& clock;
  const std::function<void(std::chrono::nanoseconds)>& on_running;  // empty: nobody wants to know
};

// One task while the shim runs. Whoever wants something of it (an API thread, the watcher) writes the wish down and
// sees to it that the task has a worker; the worker takes one step after the other and goes when there is nothing to
// do. So whatever happens to a task happens on one thread at a time, and a task that just runs has none.
//
// A step that fails is tried again, by itself with a growing pause and at once when somebody asks again.
class LiveTask : public std::enable_shared_from_this<LiveTask> {
 public:
  LiveTask(TaskState state, TaskTools tools, std::function<void(const std::string& id)> on_removed)
      : tools_(tools), on_removed_(std::move(on_removed)), began_(tools.clock.now()), state_(std::move(state)) {}

  // Begins with a new task, or takes up one that was restored from its journal.
  void begin(Secret registry_password = {});

  TaskInfo info() const;
  // `runner_http_port` is the runner's port inside of containers.
  TaskDetails details(int runner_http_port) const;
  bool is_local() const;
  TaskConfig config() const;
  TaskState state() const { return copy_state(); }
  // Nothing before it is made, and once the task is terminated.
  std::optional<host::TaskContainer> container() const;
  // False once it is to end: a container that the engine makes for it after that is nobody's.
  bool may_make_container() const;
  bool has_container(const std::string& container_id) const;

  // Returns when the task is terminated. Throws Error if an attempt fails, or takes 8 s longer than `grace`: the task
  // is then still being terminated. A task that is terminated keeps its first reason.
  TaskInfo terminate(Ending ending, std::chrono::seconds grace);

  // Returns when nothing is left of it. Throws Error (conflict) unless it is terminated, and otherwise as terminate.
  void remove();

  // Lets a container run that is to be started later, also before it is made. Throws Error (conflict) if it is not to
  // be, or the task is terminated.
  void start();

  // The host goes down: what ends the container from now on is this, unless it exits with status 0. False if that is
  // known already, or the task is terminated.
  bool begin_interruption(Ending ending);

  // What begin_interruption() was given; nothing if the task is terminated.
  std::optional<Ending> interruption() const;

  // The container ended by itself. Does not block.
  void container_ended(const docker::ContainerEnd& end);

  // Ends what is going on and begins nothing new: the process is about to leave. The journal knows the rest.
  void abandon();

 private:
  enum class Step { none, launch, end, remove, save };

  void ensure_worker() DSTACK_REQUIRES(mutex_);
  void work();
  Step next_step() const DSTACK_REQUIRES(mutex_);
  void perform(Step step);
  void launch();
  // Throws Error: cancelled, or timed_out if start() is not called in time.
  void await_start(const std::stop_token& stop);
  void end();
  void remove_all();
  // Journal first, then for all to see.
  void publish(const TaskState& state);
  void publish_or_log(const TaskState& state);
  void save();
  TaskState copy_state() const;
  TaskInfo info_locked() const DSTACK_REQUIRES(mutex_);
  // Waits for `done` or for a failed attempt.
  void wait_for(os::Lock& lock, std::chrono::seconds limit, const char* what, const std::function<bool()>& done)
      DSTACK_REQUIRES(mutex_);

  const TaskTools tools_;
  const std::function<void(const std::string&)> on_removed_;
  const os::SteadyTime began_;
  std::stop_source exit_;  // abandon()

  mutable os::Mutex mutex_;
  std::condition_variable changed_;
  TaskState state_ DSTACK_GUARDED_BY(mutex_);  // written by the worker only
  std::optional<docker::PullProgress> progress_ DSTACK_GUARDED_BY(mutex_);
  Secret registry_password_ DSTACK_GUARDED_BY(mutex_);
  bool begun_ DSTACK_GUARDED_BY(mutex_) = false;  // its journal is written
  bool working_ DSTACK_GUARDED_BY(mutex_) = false;
  bool removed_ DSTACK_GUARDED_BY(mutex_) = false;
  bool unsaved_ DSTACK_GUARDED_BY(mutex_) = false;  // its journal could not be written

  // Wishes.
  std::optional<Ending> wanted_ending_ DSTACK_GUARDED_BY(mutex_);
  std::chrono::seconds grace_ DSTACK_GUARDED_BY(mutex_){0};
  std::optional<docker::ContainerEnd> container_end_ DSTACK_GUARDED_BY(mutex_);
  std::optional<Ending> interruption_ DSTACK_GUARDED_BY(mutex_);
  bool removal_wanted_ DSTACK_GUARDED_BY(mutex_) = false;
  bool start_wanted_ DSTACK_GUARDED_BY(mutex_) = false;
  bool urgent_ DSTACK_GUARDED_BY(mutex_) = false;

  std::stop_source launch_stop_ DSTACK_GUARDED_BY(mutex_);  // a wish to terminate
  std::stop_source attempt_stop_
      DSTACK_GUARDED_BY(mutex_);  // of the present attempt to stop the container: a shorter grace was asked for
  std::string failure_ DSTACK_GUARDED_BY(mutex_);  // of the last attempt
  std::uint64_t failures_ DSTACK_GUARDED_BY(mutex_) = 0;
};

}  // namespace dstack::shim::task
