#include <format>
#include <functional>
#include <iostream>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

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

constexpr const char* by_user = "terminated_by_user";  // a word of the server's

std::string label_of(const TaskEntry& task) {
  return std::format("{} ({})", legible(task.name), legible(task.id.substr(0, 8)));
}

// What was named, and the task it names; nothing for what names none, which is told.
using Named = std::vector<std::pair<std::string, std::optional<TaskEntry>>>;

bool tell(const Error& error) {
  std::cerr << "dstack-shim: " << error.what() << "\n";
  return false;
}

Named find_all(const TaskCommand& command, ShimApi& shim) {
  const std::vector<TaskEntry> tasks = shim.tasks();
  Named named;
  for (const std::string& wanted : command.tasks) {
    named.emplace_back(wanted, std::nullopt);
    try {
      named.back().second = find_task(tasks, wanted);
    } catch (const Error& error) {
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
    } catch (const Error& error) {
      good = tell(error);
    }
  }
  return good ? 0 : 1;
}

// Some tasks go away by themselves when they have ended.
void unless_gone(const std::function<void()>& what) {
  try {
    what();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::not_found) throw;
  }
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

// Ends tasks: all jobs are asked to end, and have the same time for it.
class Stopping {
 public:
  Stopping(ShimApi& shim, seconds limit) : shim_(shim), limit_(limit), deadline_(clock_.now() + limit) {}

  void begin(const TaskEntry& task) {
    if (task.ended()) return;
    if (!task.local) {
      std::cerr << std::format("note: {} is a dstack server's, which will show it as failed or terminated\n",
                               label_of(task));
    }
    if (task.status != "running" || limit_.count() == 0) return;
    std::cerr << std::format("stopping {}: killed if it has not ended in {} s\n", label_of(task), limit_.count());
    if (ask_to_end(task)) asked_.insert(task.id);
  }

  void finish(const TaskEntry& task) {
    if (task.ended()) return;
    const bool asked = asked_.contains(task.id);
    unless_gone([&] {
      while (asked && clock_.now() < deadline_ && !shim_.task(task.id).ended()) os::pause(clock_, kPollInterval, {});
      // A runner that could not be asked hears of it from the engine. What does not run has nothing to end by itself,
      // and what has ended stays as it is.
      const bool by_engine = task.status == "running" && !asked;
      shim_.terminate(task.id, by_user, "Stopped at the host", by_engine ? limit_ : seconds{0});
    });
  }

 private:
  ShimApi& shim_;
  os::Clock& clock_ = os::system_clock();
  const seconds limit_;
  const os::SteadyTime deadline_;
  std::set<std::string> asked_;
};

void remove(ShimApi& shim, const TaskEntry& task, bool force) {
  if (!task.ended() && !force) {
    throw Error(ErrorKind::conflict,
                std::format("{} is {}: stop it first with \"dstack-shim stop {}\", or remove it at once with --force",
                            label_of(task), legible(task.status), legible(task.id.substr(0, 8))));
  }
  if (!task.local) {
    std::cerr << std::format("note: {} is a dstack server's, which will find it gone\n", label_of(task));
  }
  unless_gone([&] {
    if (!task.ended()) shim.terminate(task.id, by_user, "Removed at the host", seconds{0});
    shim.remove(task.id);
  });
}

}  // namespace

int stop_tasks(const TaskCommand& command) {
  ShimApi shim(command.shim_port);
  Stopping stopping(shim, seconds(command.timeout));
  const Named named = find_all(command, shim);
  for (const auto& [wanted, task] : named) {
    if (task) stopping.begin(*task);
  }
  return with_each(named, [&](const TaskEntry& task) { stopping.finish(task); });
}

int remove_tasks(const TaskCommand& command) {
  ShimApi shim(command.shim_port);
  return with_each(find_all(command, shim), [&](const TaskEntry& task) { remove(shim, task, command.force); });
}

}  // namespace dstack::shim::client
