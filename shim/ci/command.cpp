#include "shim/ci/command.h"

#include <CLI/CLI.hpp>
#include <string>

#include "common/exit_status.h"
#include "common/text/trim.h"

namespace dstack::shim::ci {

namespace {

void add_hook(CLI::App& ci, CiCommand& command) {
  CLI::App* hook = github::add_hook_command(ci, command.hook);
  hook->callback([hook, &command] {
    command.verb = CiCommand::Verb::github_hook;
    read_variables(*hook);
  });
}

void add_clean(CLI::App& ci, CiCommand& command) {
  CLI::App* clean = ci.add_subcommand("clean", "Remove what dead launchers left, at the CI too");
  clean
      ->add_option_function<std::string>(
          "--token",
          [&command](const std::string& token) { command.clean.token = Secret(std::string(text::trim(token))); },
          "Token of the CI (default: REPO_TOKEN, GITHUB_TOKEN, GITLAB_TOKEN)")
      ->take_last();
  clean
      ->add_option_function<std::string>(
          "--workdir",
          [&command](const std::string& folder) {
            command.clean.workdir = std::filesystem::absolute(folder).lexically_normal();
          },
          "Work folder of one launcher (default: all of /var/lib/dstack-ci or ~/.dstack/ci)")
      ->take_last();
  clean->callback([&command] { command.verb = CiCommand::Verb::clean; });
}

void add_keep(CLI::App& ci, CiCommand& command) {
  CLI::App* keep = ci.add_subcommand("keep", "Called by ci-runner: stops a program when ci-runner exits")->group("");
  keep->add_option("--shim-port", command.keeper.shim_port, "Port of the program, if it is a shim");
  keep->add_option("program", command.keeper.program, "The program and its arguments, after --")->required();
  keep->callback([&command] { command.verb = CiCommand::Verb::keep; });
}

}  // namespace

CLI::App* add_ci_command(CLI::App& app, CiCommand& command) {
  CLI::App* ci = app.add_subcommand("ci", "Run CI jobs in containers (called by CI agents), and clean up");
  ci->require_subcommand(1);
  gitlab::add_driver_command(*ci, command.gitlab);
  add_hook(*ci, command);
  add_clean(*ci, command);
  add_keep(*ci, command);
  return ci;
}

int execute(const CiCommand& command) {
  switch (command.verb) {
    case CiCommand::Verb::gitlab: return gitlab::drive(command.gitlab);
    case CiCommand::Verb::github_hook: return github::run_hook(command.hook);
    case CiCommand::Verb::clean: return clean(command.clean);
    case CiCommand::Verb::keep: return keep(command.keeper);
  }
  return exit_status::kBadFlag;
}

}  // namespace dstack::shim::ci
