#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/stop_stages.h"
#include "shim/client/shim_api.h"

namespace CLI {
class App;
}

// dstack-shim ps, logs, stop, rm, wait, inspect and attach: what a person at the host does with the tasks of a running
// shim. Each has its flags, a function that adds them (they must outlive the parsing), and one that does it. That
// returns the exit status: 0, or 1 for anything that could not be done, which is reported on stderr. It throws Error
// where no shim answers. Answers are written to stdout.
//
// A task is named as find_task.h says.
namespace dstack::shim::client {

struct ListOptions {
  int shim_port = 10998;
  bool all = false;                   // changes nothing: those that have ended are listed anyway
  bool quiet = false;                 // ids only
  std::vector<std::string> filters;   // see task_filter.h
  std::optional<std::string> format;  // see task_format.h
  bool json = false;
};
CLI::App* add_list_command(CLI::App& app, ListOptions& options);
int list_tasks(const ListOptions& options);

struct LogsOptions {
  int shim_port = 10998;
  std::string task;
  bool follow = false;
  std::string tail = "all";  // or how many of the last lines
  std::string since;         // see parse_moment() in line_times.h; empty: from the start
  bool timestamps = false;
};
CLI::App* add_logs_command(CLI::App& app, LogsOptions& options);
int show_logs(const LogsOptions& options);

struct StopOptions {
  int shim_port = 10998;
  std::vector<std::string> tasks;
  std::chrono::seconds::rep timeout = kStopTimeout.count();
};
CLI::App* add_stop_command(CLI::App& app, StopOptions& options);
int stop_tasks(const StopOptions& options);

struct RemoveOptions {
  int shim_port = 10998;
  std::vector<std::string> tasks;
  bool force = false;
};
CLI::App* add_remove_command(CLI::App& app, RemoveOptions& options);
int remove_tasks(const RemoveOptions& options);

struct WaitOptions {
  int shim_port = 10998;
  std::vector<std::string> tasks;
};
CLI::App* add_wait_command(CLI::App& app, WaitOptions& options);
int wait_tasks(const WaitOptions& options);

struct InspectOptions {
  int shim_port = 10998;
  std::vector<std::string> tasks;
};
CLI::App* add_inspect_command(CLI::App& app, InspectOptions& options);
int inspect_tasks(const InspectOptions& options);

struct AttachOptions {
  int shim_port = 10998;
  std::string task;
};
CLI::App* add_attach_command(CLI::App& app, AttachOptions& options);
// The exit status of the task once it has ended, 0 if the person detached from it.
int attach(const AttachOptions& options);

// Returns once the task has ended, with its exit status: see exit_status_of() in task_details.h.
int wait_for_end(ShimApi& shim, const std::string& id);

// Does `what` for each name; a failure is reported on stderr and keeps none of the others from it. 0, or 1 after a
// failure.
int with_each(const std::vector<std::string>& names, const std::function<void(const std::string& name)>& what);

// The arguments that name tasks.
void add_task_argument(CLI::App& command, std::string& task);
void add_task_arguments(CLI::App& command, std::vector<std::string>& tasks);

}  // namespace dstack::shim::client
