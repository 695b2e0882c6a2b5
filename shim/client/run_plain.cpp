#include <unistd.h>

#include <csignal>
#include <format>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/exit_status.h"
#include "common/os/signals.h"
#include "shim/client/engine_access.h"
#include "shim/client/graceful_stop.h"
#include "shim/client/job_output.h"
#include "shim/client/run_requests.h"
#include "shim/client/run_session.h"
#include "shim/client/stdio_stream.h"
#include "shim/client/text.h"

namespace dstack::shim::client {

namespace {

using docker::EngineClient;

// The engine, for the streams of a run that stays with its container; null for one that can do without.
std::unique_ptr<EngineClient> engine_for(RunSession& session) {
  const RunOptions& options = session.options();
  if (options.detach) return nullptr;
  try {
    return reach_engine(session.shim());
  } catch (const std::exception&) {
    if (options.input || options.terminal) throw;
    return nullptr;
  }
}

// What the engine has kept of the output, for a user who may not reach the engine.
RunEnd follow_logs(RunSession& session) {
  JobOutput output(session.shim(), session.id(), JobOutput::Bytes::as_they_are, session.output_fd());
  GracefulStop stop(session.options().shim_port, session.id());
  while (true) {
    const TaskEntry task = session.shim().task(session.id());
    if (!output.print_all()) return {.exit_status = exit_status::of_signal(SIGPIPE)};
    if (task.ended()) return session.end_of(task);
    const int before = session.interruptions();
    session.pause();
    if (session.interruptions() > before) stop.next();
  }
}

// Attached before the container starts, so that nothing of its output is missed.
RunEnd follow_stream(RunSession& session, EngineClient& engine, const std::string& container) {
  const RunOptions& options = session.options();
  const auto stream = engine.attach(container, options.input);
  session.shim().start(session.id());
  std::optional<RawTerminal> raw;
  if (options.terminal && options.input) raw.emplace(STDIN_FILENO);
  GracefulStop stop(options.shim_port, session.id());
  const auto on_signal = [&](int signal) {
    session.take_signal(signal);
    // With a terminal it was not typed, and one is enough.
    if (options.terminal) return false;
    stop.next();
    return true;
  };
  StdioStream stdio(*stream, {.input = options.input, .terminal = options.terminal, .output_fd = session.output_fd()},
                    session.signals(), resize_of(engine, EngineClient::Terminal::container, container), on_signal);
  const StdioStream::Outcome outcome = stdio.run();
  raw.reset();
  if (outcome.end == StdioStream::End::signalled) return session.interrupted_end();
  if (outcome.end == StdioStream::End::unread) return {.exit_status = exit_status::of_signal(SIGPIPE)};
  // The stream also ends by the keys that detach from a terminal.
  if (options.terminal && runs_on(engine, container)) {
    std::cerr << std::format("detached; to return: dstack-shim attach {}\n", session.id().substr(0, 8));
    return {.goes_on = true};
  }
  return session.wait_for_end();
}

}  // namespace

RunEnd run_plain(RunSession& session) {
  const RunOptions& options = session.options();
  if (options.terminal && options.input && !options.detach && ::isatty(STDIN_FILENO) != 1) {
    throw Error(ErrorKind::invalid, "the input device is not a TTY");
  }
  const auto engine = engine_for(session);
  session.submit(task_of(options, session.id(), session.name(), engine != nullptr));
  RunEnd ended;
  const auto is_there = [&](const TaskEntry& task) {
    return task.status == "running" || (engine && task.status == "creating" && !task.container_id.empty());
  };
  const auto task = session.wait_for(is_there, ended);
  if (!task && !ended.started) return ended;
  if (options.detach) return {.goes_on = true};
  return engine && task ? follow_stream(session, *engine, task->container_id) : follow_logs(session);
}

}  // namespace dstack::shim::client
