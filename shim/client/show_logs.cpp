#include <CLI/CLI.hpp>
#include <format>
#include <iostream>
#include <stop_token>

#include "common/error.h"
#include "common/os/clock.h"
#include "shim/client/find_task.h"
#include "shim/client/job_output.h"
#include "shim/client/shim_api.h"
#include "shim/client/task_commands.h"
#include "shim/client/text.h"

namespace dstack::shim::client {

namespace {

// Returns how the task was seen last.
TaskEntry follow(ShimApi& shim, TaskEntry task, JobOutput& output) {
  try {
    while (true) {
      // In this order: what a task that has ended wrote is all there.
      task = shim.task(task.id);
      if (!output.print_all() || task.ended()) return task;
      os::pause(os::system_clock(), kPollInterval, {});
    }
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::not_found) throw;
    std::cerr << "the task was removed\n";
    return task;
  }
}

}  // namespace

CLI::App* add_logs_command(CLI::App& app, LogsOptions& options) {
  CLI::App* logs = app.add_subcommand("logs", "Print what a task's job has written");
  logs->add_flag("--follow,-f", options.follow, "Go on until the job ends");
  add_task_argument(*logs, options.task);
  return logs;
}

int show_logs(const LogsOptions& options) {
  ShimApi shim(options.shim_port);
  const std::vector<TaskEntry> tasks = shim.tasks();
  TaskEntry task = find_task(tasks, options.task);
  JobOutput output(shim, task.id);
  if (options.follow) {
    const TaskEntry last = follow(shim, task, output);
    task.status = last.status;
    task.termination_reason = last.termination_reason;
    task.termination_message = last.termination_message;
  } else {
    output.print_all();
  }
  output.finish();
  if (output.begun()) return 0;
  if (task.ended()) {
    std::cerr << std::format("task {} has no output, it ended before its job began: {}\n", legible(task.name),
                             ending_of(task));
    return 1;
  }
  if (!options.follow)
    std::cerr << std::format("task {} is {}: no output yet\n", legible(task.name), legible(task.status));
  return 0;
}

}  // namespace dstack::shim::client
