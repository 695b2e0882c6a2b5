#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "common/stop_stages.h"

namespace CLI {
class App;
}

// dstack-shim ps, logs, stop and rm: what a person at the host does with the tasks of a running shim. Each returns its
// exit code: 0, or 1 for what could not be done, which is told on stderr. Answers go to stdout.
namespace dstack::shim::client {

struct TaskCommand {
  enum class Verb { list, logs, stop, remove };

  std::optional<Verb> verb;  // nothing until its subcommand was given
  int shim_port = 10998;
  std::vector<std::string> tasks;                            // as a person names them, see find_task.h
  bool json = false;                                         // list
  bool follow = false;                                       // logs
  bool force = false;                                        // remove
  std::chrono::seconds::rep timeout = kStopTimeout.count();  // stop
};

// Adds the subcommands and their flags; `command` must outlive the parsing.
void add_task_commands(CLI::App& app, TaskCommand& command);

// Throws Error where no shim answers.
int execute(const TaskCommand& command);

int list_tasks(const TaskCommand& command);
int show_logs(const TaskCommand& command);
int stop_tasks(const TaskCommand& command);
int remove_tasks(const TaskCommand& command);

}  // namespace dstack::shim::client
