#include <CLI/CLI.hpp>
#include <format>
#include <functional>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/error.h"
#include "common/termination_reason.h"
#include "common/text/escape.h"
#include "shim/client/find_task.h"
#include "shim/client/output.h"
#include "shim/client/retry.h"
#include "shim/client/shim_api.h"
#include "shim/client/stopping.h"
#include "shim/client/task_commands.h"
#include "shim/client/text.h"

namespace dstack::shim::client {

namespace {

using std::chrono::seconds;

// What was named, and the task it names; nothing for what names none, which is told.
using Named = std::vector<std::pair<std::string, std::optional<TaskEntry>>>;

bool tell(const std::exception& error) {
  std::cerr << "dstack-shim: " << text::escape_lines(error.what()) << "\n";
  return false;
}

Named find_all(const std::vector<std::string>& names, ShimApi& shim) {
  const std::vector<TaskEntry> tasks = shim.tasks();
  Named named;
  for (const std::string& wanted : names) {
    named.emplace_back(wanted, std::nullopt);
    try {
      named.back().second = find_task(tasks, wanted);
    } catch (const std::exception& error) {
      tell(error);
    }
  }
  return named;
}

// Does `what` with each, whatever becomes of the others, and prints the names of those that it was done with. Returns
// the exit code.
int with_each(const Named& named, const std::function<void(const TaskEntry&)>& what) {
  bool good = true;
  for (const auto& [wanted, task] : named) {
    try {
      if (task) what(*task);
      good = good && task;
      if (task) write_answer(wanted + "\n");
    } catch (const std::exception& error) {
      good = tell(error);
    }
  }
  return good ? 0 : 1;
}

Retry retry_and_tell() {
  return {.pause = [](std::chrono::milliseconds length) { return os::pause(os::system_clock(), length, {}); },
          .note = [](std::string_view note) { std::cerr << note << "\n"; }};
}

void remove(ShimApi& shim, const TaskEntry& task, bool force) {
  if (!task.ended() && !force) {
    throw Error(ErrorKind::conflict,
                std::format("{} is {}: stop it first with \"dstack-shim stop {}\", or remove it at once with --force",
                            label_of(task), legible(task.status), legible(task.id.substr(0, 8))));
  }
  if (!task.local) {
    std::cerr << std::format("note: {} belongs to a dstack server, which will find it missing\n", label_of(task));
  }
  const Retry retries = retry_and_tell();
  if (!task.ended()) {
    retry(
        "terminate " + label_of(task),
        [&] { shim.terminate(task.id, termination_reason::kTerminatedByUser, "Removed at the host", seconds{0}); },
        retries);
  }
  retry("remove " + label_of(task), [&] { shim.remove(task.id); }, retries);
}

}  // namespace

CLI::App* add_stop_command(CLI::App& app, StopOptions& options) {
  CLI::App* stop = app.add_subcommand("stop", "Stop the jobs of tasks, as Ctrl-C would, and terminate the tasks");
  stop->add_option("--timeout,-t", options.timeout, "Seconds that a job has to exit before it is killed")
      ->check(CLI::Range(0, 24 * 60 * 60))
      ->capture_default_str();
  add_task_arguments(*stop, options.tasks);
  return stop;
}

int stop_tasks(const StopOptions& options) {
  ShimApi shim(options.shim_port);
  Stopping stopping(shim, seconds(options.timeout), [](std::string_view note) { std::cerr << note << "\n"; });
  const Named named = find_all(options.tasks, shim);
  for (const auto& [wanted, task] : named) {
    if (task) stopping.begin(*task);
  }
  return with_each(named, [&](const TaskEntry& task) { stopping.finish(task); });
}

CLI::App* add_remove_command(CLI::App& app, RemoveOptions& options) {
  CLI::App* remove = app.add_subcommand("rm", "Remove tasks that have ended, with their containers and logs");
  remove->add_flag("--force,-f", options.force, "Kill running tasks first");
  add_task_arguments(*remove, options.tasks);
  return remove;
}

int remove_tasks(const RemoveOptions& options) {
  ShimApi shim(options.shim_port);
  return with_each(find_all(options.tasks, shim), [&](const TaskEntry& task) { remove(shim, task, options.force); });
}

}  // namespace dstack::shim::client
