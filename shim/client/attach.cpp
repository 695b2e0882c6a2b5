#include <unistd.h>

#include <CLI/CLI.hpp>
#include <format>
#include <iostream>
#include <optional>

#include "common/error.h"
#include "common/exit_status.h"
#include "common/os/signals.h"
#include "common/termination_reason.h"
#include "shim/client/engine_access.h"
#include "shim/client/find_task.h"
#include "shim/client/graceful_stop.h"
#include "shim/client/job_output.h"
#include "shim/client/shim_api.h"
#include "shim/client/stdio_stream.h"
#include "shim/client/stopping.h"
#include "shim/client/task_commands.h"
#include "shim/client/task_details.h"
#include "shim/client/text.h"

namespace dstack::shim::client {

namespace {

using docker::EngineClient;

constexpr std::chrono::seconds kStopTime{15};

// The signal that is pending, if any; waits for the next look at the task.
std::optional<int> pending_signal(const os::UniqueFd& signals) {
  pollfd waiting{.fd = signals.get(), .events = POLLIN, .revents = 0};
  os::Wait wait(os::system_clock(), {}, os::system_clock().now() + kPollInterval);
  if (wait.until_ready({&waiting, 1}, "a signal") != os::Wait::Outcome::ready) return std::nullopt;
  const int signal = os::next_signal(signals);
  return signal == SIGWINCH ? std::nullopt : std::optional(signal);
}

// A job has no input; Ctrl-C stops it, as for the command that runs it.
int follow_job(ShimApi& shim, const TaskEntry& task, const os::UniqueFd& signals) {
  JobOutput output(shim, task.id);
  output.skip_all();
  Stopping stopping(shim, kStopTime, [](std::string_view note) { std::cerr << note << "\n"; });
  int interruptions = 0;
  while (true) {
    const TaskEntry now = shim.task(task.id);
    if (!output.print_all()) return exit_status::of_signal(SIGPIPE);
    if (now.ended()) break;
    const auto signal = pending_signal(signals);
    if (!signal) continue;
    if (++interruptions == 1) {
      stopping.begin(task);
    } else {
      shim.terminate(task.id, termination_reason::kTerminatedByUser, "Stopped at the host", std::chrono::seconds{0});
      return exit_status::of_signal(*signal);
    }
  }
  output.finish();
  return exit_status_of(shim.details(task.id));
}

int attach_to_program(ShimApi& shim, const TaskDetails& details, int shim_port, const os::UniqueFd& signals) {
  const TaskEntry& task = details.task;
  const bool input = details.stdin_open;
  if (details.tty && input && ::isatty(STDIN_FILENO) != 1) {
    throw Error(ErrorKind::invalid, "the input device is not a TTY");
  }
  const auto engine = reach_engine(shim);
  const auto stream = engine->attach(task.container_id, input);
  std::optional<RawTerminal> raw;
  if (details.tty && input) raw.emplace(STDIN_FILENO);
  GracefulStop stop(shim_port, task.id);
  const auto on_signal = [&](int) {
    // With a terminal it was not typed: it is this command that is to end.
    if (details.tty) return false;
    stop.next();
    return true;
  };
  StdioStream stdio(*stream, {.input = input, .terminal = details.tty}, signals,
                    resize_of(*engine, EngineClient::Terminal::container, task.container_id), on_signal);
  const StdioStream::Outcome outcome = stdio.run();
  raw.reset();
  if (outcome.end == StdioStream::End::signalled) return exit_status::of_signal(outcome.signal);
  if (outcome.end == StdioStream::End::unread) return exit_status::of_signal(SIGPIPE);
  if (details.tty && runs_on(*engine, task.container_id)) {
    std::cerr << "detached\n";
    return exit_status::kDone;
  }
  return wait_for_end(shim, task.id);
}

}  // namespace

CLI::App* add_attach_command(CLI::App& app, AttachOptions& options) {
  CLI::App* attach =
      app.add_subcommand("attach", "Follow the output of a running task from now on; send it input if it reads any");
  add_task_argument(*attach, options.task);
  return attach;
}

int attach(const AttachOptions& options) {
  const os::UniqueFd signals = watch_stream_signals();
  ShimApi shim(options.shim_port);
  const std::vector<TaskEntry> tasks = shim.tasks();
  const TaskEntry task = find_task(tasks, options.task);
  if (task.status != "running") {
    throw Error(ErrorKind::conflict,
                std::format("task {} is not running: it is {}", label_of(task), legible(task.status)));
  }
  if (task.process == "job") return follow_job(shim, task, signals);
  if (task.process == "image") return attach_to_program(shim, shim.details(task.id), options.shim_port, signals);
  throw Error(ErrorKind::conflict,
              std::format("task {} only holds its container: use dstack-shim exec", label_of(task)));
}

}  // namespace dstack::shim::client
