#include "shim/client/task_commands.h"

#include <CLI/CLI.hpp>

#include "common/os/signals.h"

namespace dstack::shim::client {

namespace {

CLI::App* add(CLI::App& app, TaskCommand& command, TaskCommand::Verb verb, const char* name, const char* description) {
  CLI::App* subcommand = app.add_subcommand(name, description);
  subcommand->callback([&command, verb] { command.verb = verb; });
  return subcommand;
}

}  // namespace

void add_task_commands(CLI::App& app, TaskCommand& command) {
  using Verb = TaskCommand::Verb;
  constexpr const char* which = "Ids, beginnings of ids or names of tasks";

  CLI::App* list = add(app, command, Verb::list, "ps", "List the tasks of a running shim");
  list->add_flag("--json", command.json, "An array of objects instead of a table");

  CLI::App* logs = add(app, command, Verb::logs, "logs", "Print what a task's job has written");
  logs->add_flag("--follow,-f", command.follow, "Go on until the job ends");
  logs->add_option("id", command.tasks, "A task's id, the beginning of its id, or its name")->required()->expected(1);

  CLI::App* stop = add(app, command, Verb::stop, "stop", "Stop the jobs of tasks, as Ctrl-C would, and end the tasks");
  stop->add_option("--timeout,-t", command.timeout, "Seconds that a job has to end before it is killed")
      ->check(CLI::Range(0, 24 * 60 * 60))
      ->capture_default_str();
  stop->add_option("id", command.tasks, which)->required();

  CLI::App* remove =
      add(app, command, Verb::remove, "rm", "Remove tasks that have ended, with their containers and logs");
  remove->add_flag("--force,-f", command.force, "End what still runs first, at once");
  remove->add_option("id", command.tasks, which)->required();
}

int execute(const TaskCommand& command) {
  // Whoever reads an answer may have enough of it before its end: see output.h.
  os::ignore_broken_pipes();
  switch (command.verb.value()) {
    case TaskCommand::Verb::list: return list_tasks(command);
    case TaskCommand::Verb::logs: return show_logs(command);
    case TaskCommand::Verb::stop: return stop_tasks(command);
    case TaskCommand::Verb::remove: return remove_tasks(command);
  }
  return 1;
}

}  // namespace dstack::shim::client
