#include "shim/task/task_messages.h"

#include <spdlog/spdlog.h>

#include "common/error.h"
#include "shim/task/going_away.h"
#include "shim/task/runner_calls.h"

namespace dstack::shim::task {

namespace {

using std::chrono::seconds;

// A container that has just started may not answer yet.
constexpr seconds kRunnerCallLimit{10};
constexpr std::chrono::milliseconds kRunnerCallPause{500};
constexpr seconds kRunnerStartPause{2};
// For what has no runner that stops a job.
constexpr seconds kPlainGrace{10};

// Calls `call` until it does not throw; false if that does not come to be, which is logged.
bool try_runner(const LiveTask& task, const char* what, os::Clock& clock, const std::stop_token& stop,
                const std::function<void()>& call) {
  const os::SteadyTime deadline = clock.now() + kRunnerCallLimit;
  while (true) {
    try {
      call();
      return true;
    } catch (const std::exception& error) {
      const TaskInfo info = task.info();
      if (stop.stop_requested() || info.status == TaskStatus::terminated) return false;
      if (clock.now() >= deadline) {
        spdlog::warn("task {}: {}: {}", printable(info.id), what, error.what());
        return false;
      }
    }
    if (!os::pause(clock, kRunnerCallPause, stop)) return false;
  }
}

// Whether the task's job is stopped, or over.
bool stop_job(const LiveTask& task, int runner_port, const std::string& message, os::Clock& clock,
              const std::stop_token& stop) {
  JobProgress progress = JobProgress::waiting;
  const bool answered = try_runner(task, "stop its job", clock, stop,
                                   [&] { progress = interrupt_job(runner_port, message, stop, clock); });
  if (!answered || progress == JobProgress::waiting) return false;
  spdlog::info("task {}: its job is being stopped", printable(task.info().id));
  return true;
}

}  // namespace

void interrupt_task(LiveTask& task, const Ending& ending, int runner_http_port, os::Clock& clock,
                    const std::stop_token& stop) {
  try {
    const TaskDetails details = task.details(runner_http_port);
    const bool runs = details.info.status == TaskStatus::running;
    if (runs && details.process == ProcessKind::job && details.runner_port &&
        stop_job(task, *details.runner_port, ending.message, clock, stop))
      return;
    const TaskConfig config = task.config();
    if (runs && config.container && !config.container->owner.empty() &&
        announce_end_to_launcher(config.container->owner))
      return;
    if (stop.stop_requested()) return;
    task.terminate(ending, runs ? kPlainGrace : seconds{0});
  } catch (const std::exception& error) {
    if (!stop.stop_requested()) spdlog::error("{}", error.what());
  }
}

void tell_job(LiveTask& task, const std::string& message, int runner_http_port, os::Clock& clock,
              const std::stop_token& stop) {
  TaskDetails details = task.details(runner_http_port);
  if (details.process != ProcessKind::job) return;
  while (details.info.status != TaskStatus::running) {
    if (details.info.status == TaskStatus::terminated || !os::pause(clock, kRunnerStartPause, stop)) return;
    details = task.details(runner_http_port);
  }
  if (!details.runner_port) return;
  try_runner(task, "add a line to its runner log", clock, stop, [&] {
    if (!add_to_runner_log(*details.runner_port, message, stop, clock))
      spdlog::info("task {}: its runner takes no lines for its log", printable(details.info.id));
  });
}

}  // namespace dstack::shim::task
