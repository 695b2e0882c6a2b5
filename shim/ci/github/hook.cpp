#include "shim/ci/github/hook.h"

#include <CLI/CLI.hpp>
#include <csignal>
#include <iostream>
#include <string>

#include "common/exit_status.h"
#include "common/text/escape.h"
#include "shim/ci/github/hooks.h"

namespace dstack::shim::ci::github {

namespace {

constexpr std::size_t kInputLimit = std::size_t{16} << 20;

std::string read_line() {
  std::string line;
  for (char c = 0; std::cin.get(c) && c != '\n';) {
    if (line.size() >= kInputLimit) throw Error(ErrorKind::too_large, "standard input: the line is too long");
    line += c;
  }
  return line;
}

}  // namespace

CLI::App* add_hook_command(CLI::App& ci, HookOptions& options) {
  CLI::App* hook =
      ci.add_subcommand("github-hook", "Called by an Actions agent as its container hook: runs a job in containers");
  hook->add_option("--state", options.state, "Folder for what the hooks of a job share, one for each agent")
      ->required();
  add_container_flags(*hook, options.containers);
  return hook;
}

int run_hook(const HookOptions& options) {
  // A hook that waits for an image ends by a signal at once, whatever its parent ignores.
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  try {
    Hook hook(options, parse_hook_request(read_line()));
    switch (hook.request.command) {
      case HookCommand::prepare_job: prepare_job(hook); return 0;
      case HookCommand::run_script_step: return run_script_step(hook);
      case HookCommand::run_container_step: return run_container_step(hook);
      case HookCommand::cleanup_job: cleanup_job(hook); return 0;
    }
    return exit_status::kFailed;
  } catch (const std::exception& error) {
    std::cerr << "dstack-shim: " << text::escape_controls(error.what()) << '\n';
    return exit_status::kFailed;
  }
}

}  // namespace dstack::shim::ci::github
