#include "shim/client/drain_commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <format>
#include <iostream>

#include "shim/client/shim_api.h"

namespace dstack::shim::client {

CLI::App* add_drain_command(CLI::App& app, DrainOptions& options) {
  CLI::App* drain = app.add_subcommand("drain", "Take no new tasks, until undrain; running tasks go on");
  drain->add_option("--reason", options.reason, "Reason, shown to clients whose tasks are refused");
  return drain;
}

int drain_host(const DrainOptions& options) {
  ShimApi shim(options.shim_port);
  shim.drain(options.reason);
  const auto tasks = shim.tasks();
  const auto running = std::ranges::count_if(tasks, [](const TaskEntry& task) { return !task.ended(); });
  std::cerr << std::format("drained; {} {} still running (dstack-shim ps)\n", running,
                           running == 1 ? "task is" : "tasks are");
  return 0;
}

CLI::App* add_undrain_command(CLI::App& app, UndrainOptions&) {
  return app.add_subcommand("undrain", "Take new tasks again");
}

int undrain_host(const UndrainOptions& options) {
  ShimApi(options.shim_port).undrain();
  std::cerr << "no longer drained\n";
  return 0;
}

}  // namespace dstack::shim::client
