#include "shim/client/exec.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <format>
#include <iostream>
#include <optional>

#include "common/error.h"
#include "common/exit_status.h"
#include "common/os/clock.h"
#include "shim/client/engine_access.h"
#include "shim/client/environment.h"
#include "shim/client/find_task.h"
#include "shim/client/shim_api.h"
#include "shim/client/stdio_stream.h"
#include "shim/client/stopping.h"
#include "shim/client/task_commands.h"
#include "shim/client/text.h"

namespace dstack::shim::client {

namespace {

using docker::EngineClient;

// The engine closes the stream a moment before it knows how the program ended.
constexpr std::chrono::seconds kExitLimit{10};
constexpr std::chrono::milliseconds kExitPause{20};

TaskEntry running_task(ShimApi& shim, const std::string& wanted) {
  const std::vector<TaskEntry> tasks = shim.tasks();
  const TaskEntry& task = find_task(tasks, wanted);
  if (task.status == "running") return task;
  throw Error(ErrorKind::conflict,
              std::format("task {} is not running: it is {}", label_of(task), legible(task.status)));
}

int exit_code_of(EngineClient& engine, const std::string& exec) {
  os::Clock& clock = os::system_clock();
  const os::SteadyTime deadline = clock.now() + kExitLimit;
  while (true) {
    if (const auto code = engine.exec_exit_code(exec)) return *code;
    if (clock.now() >= deadline) throw Error(ErrorKind::timed_out, "the engine does not report how the program ended");
    os::pause(clock, kExitPause, {});
  }
}

// Runs it in this process's standard streams; the signal that ended that before the program did.
std::optional<int> follow(EngineClient& engine, const std::string& exec, const docker::Program& program,
                          const os::UniqueFd& signals) {
  const auto stream = engine.start_exec(exec, program);
  std::optional<RawTerminal> raw;
  if (program.terminal && program.input) raw.emplace(STDIN_FILENO);
  StdioStream stdio(*stream, {.input = program.input, .terminal = program.terminal}, signals,
                    resize_of(engine, EngineClient::Terminal::exec, exec), [](int) { return false; });
  const StdioStream::Outcome outcome = stdio.run();
  if (outcome.end == StdioStream::End::ended) return std::nullopt;
  return outcome.end == StdioStream::End::unread ? SIGPIPE : outcome.signal;
}

}  // namespace

CLI::App* add_exec_command(CLI::App& app, ExecOptions& options) {
  CLI::App* exec = app.add_subcommand("exec", "Run a command in the container of a running task");
  exec->add_flag("--interactive,-i", options.input, "Keep its standard input open");
  exec->add_flag("--tty,-t", options.terminal, "Give it a terminal");
  add_environment_option(*exec, options.environment);
  exec->add_option("--workdir,-w", options.working_dir, "Its working directory in the container");
  exec->add_option("--user,-u", options.user, "Its user: name or uid, optionally with :group");
  add_task_argument(*exec, options.task);
  exec->add_option("command", options.command, "The command and its arguments, after --")->required();
  return exec;
}

int exec(const ExecOptions& options) {
  if (options.terminal && options.input && ::isatty(STDIN_FILENO) != 1) {
    throw Error(ErrorKind::invalid, "the input device is not a TTY");
  }
  ShimApi shim(options.shim_port);
  const TaskEntry task = running_task(shim, options.task);
  const auto engine = reach_engine(shim);
  const os::UniqueFd signals = watch_stream_signals();
  docker::Program program{.arguments = options.command,
                          .environment = resolved(options.environment),
                          .working_dir = options.working_dir,
                          .user = options.user,
                          .input = options.input,
                          .terminal = options.terminal};
  if (const auto size = terminal_size(STDOUT_FILENO)) {
    program.rows = size->rows;
    program.columns = size->columns;
  }
  const std::string exec = engine->create_exec(task.container_id, program);
  if (const auto signal = follow(*engine, exec, program, signals)) return exit_status::of_signal(*signal);
  return exit_code_of(*engine, exec);
}

}  // namespace dstack::shim::client
