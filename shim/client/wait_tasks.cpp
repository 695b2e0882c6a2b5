#include <CLI/CLI.hpp>
#include <format>

#include "common/os/clock.h"
#include "shim/client/find_task.h"
#include "shim/client/output.h"
#include "shim/client/shim_api.h"
#include "shim/client/task_commands.h"
#include "shim/client/task_details.h"

namespace dstack::shim::client {

namespace {

constexpr std::chrono::milliseconds kLookPause{250};

}  // namespace

int wait_for_end(ShimApi& shim, const std::string& id) {
  while (!shim.task(id).ended()) os::pause(os::system_clock(), kLookPause, {});
  return exit_status_of(shim.details(id));
}

CLI::App* add_wait_command(CLI::App& app, WaitOptions& options) {
  CLI::App* wait = app.add_subcommand("wait", "Wait until tasks have ended, and print their exit statuses");
  add_task_arguments(*wait, options.tasks);
  return wait;
}

int wait_tasks(const WaitOptions& options) {
  ShimApi shim(options.shim_port);
  const std::vector<TaskEntry> tasks = shim.tasks();
  // In the order in which they are named; a wait for one that has ended meanwhile is over at once.
  return with_each(options.tasks, [&](const std::string& wanted) {
    const std::string id = find_task(tasks, wanted).id;
    write_answer(std::format("{}\n", wait_for_end(shim, id)));
  });
}

}  // namespace dstack::shim::client
