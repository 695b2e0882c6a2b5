#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/secret.h"
#include "shim/docker/engine_client.h"
#include "shim/docker/pull_progress.h"
#include "shim/task/task_config.h"

namespace dstack::shim::task {

enum class TaskStatus { pending, preparing, pulling, creating, running, terminated };

std::string_view name_of(TaskStatus status);
std::optional<TaskStatus> parse_status(std::string_view name);

// pending → preparing → pulling → creating → running → terminated, and from every state straight to the last one.
bool may_become(TaskStatus from, TaskStatus to);

// Why a task ended: one of the server's own words, and a text for a person.
struct Ending {
  std::string reason;
  std::string message;

  friend bool operator==(const Ending&, const Ending&) = default;
};

// Everything about a task that outlives the process: what the journal holds. Plain data; only the task's own worker
// changes it (see task_manager.h).
struct TaskState {
  TaskConfig config;
  std::string container_name;
  std::optional<std::int64_t> submitted_at;  // ms since the epoch; nothing if nobody knows any more
  TaskStatus status = TaskStatus::pending;
  std::string container_id;                               // empty until the engine has told it
  std::optional<std::vector<docker::PortMapping>> ports;  // from the start on
  std::optional<std::vector<std::string>> gpu_ids;        // from preparing on
  // What is taken, or about to be. Giving back is idempotent, so that "about to" is enough to know.
  bool holds_keys = false;
  bool holds_volumes = false;
  bool gpus_given_back = false;  // before the rest: another task may have them by now
  bool create_sent = false;      // the engine was asked for a container, and may have made it
  std::string boot_id;           // of the host when the task was submitted; empty if it is not known
  bool given_back = false;
  // Decided, and not carried out yet: while it is set and the status is not terminated, the container is being stopped.
  std::optional<Ending> ending;
  bool removing = false;
  Secret runner_token;                 // of a runner that holds the container; empty: no such runner
  std::optional<TaskStatus> ended_in;  // the status before `terminated`
  std::optional<int> exit_code;        // of the container that ran and has ended
  std::string start_failure;   // "not_found", "not_executable" if that kept its program from running; else empty
  bool out_of_memory = false;  // the engine says that the kernel killed a process of it

  // Moves on; throws Error (internal) for a step that the order above does not have.
  void become(TaskStatus next);
};

// Whether a journal that says `after` must be on disk before anything else happens, one that says `before` being there:
// what is taken and what is decided must outlive a power cut. How far a task has come is found out again without it.
bool must_be_flushed(const TaskState& before, const TaskState& after);

// What the API tells.
struct TaskInfo {
  std::string id;
  TaskStatus status = TaskStatus::pending;
  std::string termination_reason;
  std::string termination_message;
  std::optional<std::vector<docker::PortMapping>> ports;
  std::optional<docker::PullProgress> pull_progress;
  std::optional<docker::PullActivity> pull_activity;  // of a local task that waits for its image
  std::string container_name;
  std::string container_id;
  std::optional<std::vector<std::string>> gpu_ids;
};

// The same and more, for the owner of the machine.
struct TaskDetails {
  TaskInfo info;
  std::string name;
  std::string image_name;
  bool local = false;
  std::optional<std::int64_t> submitted_at;
  std::optional<int> runner_port;  // of the runner's API on 127.0.0.1, while the container runs
  ProcessKind process = ProcessKind::job;
  std::optional<TaskStatus> ended_in;
  std::optional<int> exit_code;  // nothing if it never ran, or runs
  std::string start_failure;     // "not_found", "not_executable" if that kept the program from running; else empty
};

// <name>-<first 8 hex digits of sha256("<name>/<id>")>
std::string container_name(std::string_view name, std::string_view id);

}  // namespace dstack::shim::task
