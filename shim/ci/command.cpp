#include "shim/ci/command.h"

#include <CLI/CLI.hpp>

namespace dstack::shim::ci {

CLI::App* add_ci_command(CLI::App& app, CiCommand& command) {
  CLI::App* ci = app.add_subcommand("ci", "What the agents of CI systems call to run jobs in containers");
  ci->require_subcommand(1);
  gitlab::add_driver_command(*ci, command.gitlab);
  return ci;
}

int execute(const CiCommand& command) { return gitlab::drive(command.gitlab); }

}  // namespace dstack::shim::ci
