#include <spdlog/spdlog.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <exception>
#include <optional>
#include <print>

#include "common/command_error.h"
#include "common/log/log.h"
#include "common/os/core_files.h"
#include "common/os/file.h"
#include "common/os/free_port.h"
#include "common/os/idle_memory.h"
#include "common/os/reaper.h"
#include "common/os/signals.h"
#include "runner/api/log_stream.h"
#include "runner/api/routes.h"
#include "runner/api/serving.h"
#include "runner/container.h"
#include "runner/exec/held.h"
#include "runner/exec/supervisor.h"
#include "runner/job/executor.h"
#include "runner/lifetime.h"
#include "runner/logs/logs.h"
#include "runner/options.h"
#include "runner/ssh/connections.h"
#include "runner/ssh/server.h"
#include "runner/startup_log.h"

namespace dstack::runner {

namespace {

// Returns the exit status.
int start(const Options& options) {
  os::ignore_broken_pipes();
  const os::UniqueFd signals = os::block_and_watch({SIGCHLD, SIGTERM, SIGINT, SIGQUIT});
  os::make_directories(options.temp_dir, 0755);
  log::set_up(options.log_level, log::Stream::standard_output, options.temp_dir / "default.log");

  http::Server server;
  const int port = api::bind(server, options.http_address, options.http_port);
  os::check_port_is_free(options.ssh_port);
  prepare_container(options);
  os::adopt_orphans();
  std::optional<ssh::Server> ssh_server;
  ssh_server.emplace(ssh::Server::Settings{.port = options.ssh_port, .log_level = options.ssh_log_level});

  Logs logs(options.temp_dir);
  LogStream log_stream(logs);
  job::RunPlaces places;
  places.ssh_port = options.ssh_port;
  places.ssh_problem = [&ssh_server] { return ssh_server->problem(); };
  job::Executor executor(options.temp_dir, places, logs);
  Lifetime lifetime(signals, executor, logs);
  ssh::ConnectionWatch connections(options.ssh_port);

  api::add_routes(server, executor, logs, connections);
  log_stream.add_route(server);
  server.guard([&lifetime](const http::Request&) -> std::optional<http::Response> {
    lifetime.request_seen();
    return std::nullopt;
  });
  server.observe([](const http::Request& request, int status) {
    spdlog::debug("{} {} from {}: {}", request.method, printable(request.path), request.peer_address, status);
  });
  // Logging in works before the API answers. If not: whoever took the port since it was looked at, no job hangs on it.
  const bool ssh_answers = ssh_server->wait_ready();
  if (!ssh_answers) os::check_port_is_free(options.ssh_port);
  log_startup(options, port, ssh_answers);
  const int status = [&] {
    const api::Serving serving(server);
    os::give_back_idle_memory();
    return lifetime.wait();
  }();
  if (executor.hangs()) {
    // Say, a clone that was given up on a server that does not answer.
    spdlog::warn("The job's setup still hangs: leaving without it");
    ssh_server.reset();
    spdlog::default_logger()->flush();
    std::_Exit(status);
  }
  return status;
}

}  // namespace

}  // namespace dstack::runner

// NOLINTNEXTLINE(bugprone-exception-escape): what fails before there is a log ends the program
int main(int argc, char** argv) {
  dstack::os::forbid_core_files();
  const auto invocation = dstack::runner::parse_command_line(argc, argv, ::getpid() == 1);
  if (const int* code = std::get_if<int>(&invocation)) return *code;
  try {
    if (const auto* command = std::get_if<dstack::runner::join::Command>(&invocation)) {
      return dstack::runner::join::execute(*command);
    }
    if (std::holds_alternative<dstack::runner::SuperviseCommand>(invocation)) return dstack::runner::exec::supervise();
    if (const auto* chown = std::get_if<dstack::runner::ChownCommand>(&invocation)) {
      return dstack::runner::run_chown(*chown);
    }
    const auto& options = std::get<dstack::runner::Options>(invocation);
    if (!options.hold) return dstack::runner::start(options);
    dstack::runner::exec::hold(options);
    return 0;
  } catch (const dstack::CommandError& error) {
    std::println(stderr, "dstack-runner: {}", error.what());
    return error.exit_status();
  } catch (const std::exception& error) {
    spdlog::critical("{}", error.what());
    std::println(stderr, "dstack-runner: {}", error.what());
    return 1;
  }
}
