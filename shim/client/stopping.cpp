#include "shim/client/stopping.h"

#include <format>

#include "common/error.h"
#include "common/termination_reason.h"
#include "shim/client/retry.h"
#include "shim/client/runner_api.h"
#include "shim/client/text.h"

namespace dstack::shim::client {

using std::chrono::seconds;

std::string label_of(const TaskEntry& task) {
  return std::format("{} ({})", legible(task.name), legible(task.id.substr(0, 8)));
}

void unless_gone(const std::function<void()>& what) {
  try {
    what();
  } catch (const std::exception& error) {
    if (error_kind(error) != ErrorKind::not_found) throw;
  }
}

Stopping::Stopping(ShimApi& shim, seconds limit, std::function<void(std::string_view)> note)
    : shim_(shim), limit_(limit), deadline_(clock_.now() + limit), note_(std::move(note)) {}

void Stopping::begin(const TaskEntry& task) {
  if (task.ended()) return;
  if (!task.local) {
    note_(
        std::format("note: {} belongs to a dstack server, which will show it as failed or terminated", label_of(task)));
  }
  if (task.status != "running" || limit_.count() == 0) return;
  note_(std::format("stopping {}: it is killed after {} s", label_of(task), limit_.count()));
  if (interrupt(task)) interrupted_.insert(task.id);
}

void Stopping::finish(const TaskEntry& task) {
  if (task.ended()) return;
  const bool interrupted = interrupted_.contains(task.id);
  unless_gone([&] {
    while (interrupted && clock_.now() < deadline_ && !shim_.task(task.id).ended())
      os::pause(clock_, kPollInterval, {});
    // Where the runner could not be asked, the engine gives the container its time to end. A task that does not run has
    // nothing to end by itself, and one that has ended stays as it is.
    const bool by_engine = task.status == "running" && !interrupted;
    const auto terminate = [&] {
      shim_.terminate(task.id, termination_reason::kTerminatedByUser, "Stopped at the host",
                      by_engine ? limit_ : seconds{0});
    };
    const auto pause = [this](std::chrono::milliseconds length) { return os::pause(clock_, length, {}); };
    retry("terminate " + label_of(task), terminate, {.pause = pause, .note = note_}, clock_);
  });
}

// The server or `run` that follows the job sees its end, and ends the task as usual.
bool Stopping::interrupt(const TaskEntry& task) {
  // A job is stopped through its runner, another process by the engine.
  if (!task.runner_port || task.process != "job") return false;
  try {
    RunnerApi(*task.runner_port).stop();
    return true;
  } catch (const std::exception& error) {
    note_(std::format("{}: {}", label_of(task), legible(error.what())));
    return false;
  }
}

}  // namespace dstack::shim::client
