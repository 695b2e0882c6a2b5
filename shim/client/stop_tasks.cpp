#include <format>
#include <functional>
#include <iostream>

#include "common/error.h"
#include "common/os/clock.h"
#include "shim/client/find_task.h"
#include "shim/client/output.h"
#include "shim/client/runner_api.h"
#include "shim/client/shim_api.h"
#include "shim/client/task_commands.h"
#include "shim/client/text.h"

namespace dstack::shim::client {

namespace {

using std::chrono::seconds;

constexpr std::chrono::milliseconds look_interval{100};
constexpr const char* by_user = "terminated_by_user";  // a word of the server's

std::string label_of(const TaskEntry& task) {
  return std::format("{} ({})", legible(task.name), legible(task.id.substr(0, 8)));
}

// Does `what` with every task that was named, whatever becomes of the others, and prints the names of those that it
// was done with.
int with_each(const TaskCommand& command, ShimApi& shim, const std::function<void(const TaskEntry&)>& what) {
  const std::vector<TaskEntry> tasks = shim.tasks();
  int code = 0;
  for (const std::string& wanted : command.tasks) {
    try {
      what(find_task(tasks, wanted));
      write_answer(wanted + "\n");
    } catch (const Error& error) {
      std::cerr << "dstack-shim: " << error.what() << "\n";
      code = 1;
    }
  }
  return code;
}

// Asks the job to end. Whoever follows it, a server or `run`, sees that, and ends the task as usual.
bool ask_to_end(const TaskEntry& task) {
  if (!task.runner_port) return false;
  try {
    RunnerApi(*task.runner_port).stop();
    return true;
  } catch (const Error& error) {
    std::cerr << std::format("{}: {}\n", label_of(task), error.what());
    return false;
  }
}

void await_end(ShimApi& shim, const TaskEntry& task, seconds limit) {
  os::Clock& clock = os::system_clock();
  const os::SteadyTime deadline = clock.now() + limit;
  while (clock.now() < deadline && !shim.task(task.id).ended()) os::pause(clock, look_interval, {});
}

void stop(ShimApi& shim, const TaskEntry& task, seconds limit) {
  if (task.ended()) return;
  if (!task.local) {
    std::cerr << std::format("note: {} is a dstack server's, which will see it as terminated by a user\n",
                             label_of(task));
  }
  const bool running = task.status == "running";
  if (running && limit.count() > 0) {
    std::cerr << std::format("stopping {}: killed if it has not ended in {} s\n", label_of(task), limit.count());
    if (ask_to_end(task)) {
      await_end(shim, task, limit);
      limit = seconds{0};
    }
  }
  // One that is not running has nothing to end by itself, one that has ended stays as it is.
  shim.terminate(task.id, by_user, "Stopped at the host", running ? limit : seconds{0});
}

void remove(ShimApi& shim, const TaskEntry& task, bool force) {
  if (!task.ended() && !force) {
    throw Error(ErrorKind::conflict,
                std::format("{} is {}: stop it first with \"dstack-shim stop {}\", or remove it at once with --force",
                            label_of(task), legible(task.status), legible(task.id.substr(0, 8))));
  }
  if (!task.local) {
    std::cerr << std::format("note: {} is a dstack server's, which will find it gone\n", label_of(task));
  }
  if (!task.ended()) shim.terminate(task.id, by_user, "Removed at the host", seconds{0});
  shim.remove(task.id);
}

}  // namespace

int stop_tasks(const TaskCommand& command) {
  ShimApi shim(command.shim_port);
  return with_each(command, shim, [&](const TaskEntry& task) { stop(shim, task, seconds(command.timeout)); });
}

int remove_tasks(const TaskCommand& command) {
  ShimApi shim(command.shim_port);
  return with_each(command, shim, [&](const TaskEntry& task) { remove(shim, task, command.force); });
}

}  // namespace dstack::shim::client
