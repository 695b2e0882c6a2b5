#include "runner/join/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <format>
#include <string_view>

#include "common/exit_status.h"
#include "common/server_api/flags.h"

namespace dstack::runner::join {

namespace {

constexpr std::array<std::string_view, 6> kContainerFlags = {"--temp-dir", "--http-address",       "--http-port",
                                                             "--ssh-port", "--ssh-authorized-key", "--ssh-log-level"};
constexpr std::array<std::string_view, 14> kHostFlags = {
    "--token",     "--server",       "--project",    "--name",    "--address", "--relay", "--relay-user",
    "--relay-key", "--relay-listen", "--foreground", "--no-wait", "--blocks",  "--env",   "--keep-server-binaries"};

template <std::size_t count>
std::string_view find_flag(int argc, const char* const* argv, const std::array<std::string_view, count>& flags) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const std::string_view name = argument.substr(0, argument.find('='));
    if (std::ranges::find(flags, name) != flags.end()) return name;
  }
  return {};
}

void add_runner_flags(CLI::App& command, server_api::Given& given) {
  command.add_option("--name", given.name, "Name of the runner (default: derived from the host's name)");
  command.add_option("--relay", given.relay,
                     "HOST[:PORT] of the SSH server through which the dstack server reaches this host, or none "
                     "(default: the server's own host)");
}

void add_start_flags(CLI::App& start, StartOptions& options) {
  server_api::add_account_flags(start, options.given);
  add_runner_flags(start, options.given);
  start.add_option("--address", options.address,
                   "HOST[:PORT] at which the server reaches this host's SSH server directly");
  start.add_option("--relay-user", options.relay.user, "User at an SSH server of your own that is the relay");
  start.add_option("--relay-key", options.relay.key, "File with that user's private key");
  start.add_option("--relay-listen", options.relay.listen, "ADDRESS:PORT at which the relay listens for this host");
  start
      .add_option("--blocks", options.blocks,
                  "Number of blocks that the host's GPUs are split into for jobs; auto: one per GPU")
      ->check([](const std::string& text) -> std::string {
        const bool number =
            !text.empty() && text.size() < 5 && text.find_first_not_of("0123456789") == std::string::npos;
        return text == "auto" || (number && text != "0") ? "" : "must be a number from 1, or auto";
      })
      ->capture_default_str();
  start.add_option("--env", options.environment, "NAME=VALUE for the shim on this host; may be repeated")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->check([](const std::string& text) -> std::string {
        const std::size_t equals = text.find('=');
        return equals == std::string::npos || equals == 0 ? "must be NAME=VALUE" : "";
      });
  start.add_flag("--foreground", options.foreground, "Do the work in this process instead of a service");
  start.add_flag("!--no-wait", options.wait, "Do not wait until the server has added the host");
  start.add_flag("--keep-server-binaries", options.keep_server_binaries,
                 "Leave the programs in place that the server installs");
}

}  // namespace

bool is_host_start(int argc, const char* const* argv, bool process_1) {
  const std::string_view container = find_flag(argc, argv, kContainerFlags);
  const std::string_view host = find_flag(argc, argv, kHostFlags);
  if (!container.empty() && !host.empty()) {
    throw CommandError(
        exit_status::kUsage,
        std::format("{} is for a container, {} is for a host: they do not go together", container, host));
  }
  return container.empty() && !process_1;
}

void add_commands(CLI::App& app, CLI::App& start, StartOptions& start_options, Command& command) {
  add_start_flags(start, start_options);
  start.callback([&command, &start_options] { command = start_options; });

  CLI::App* config = app.add_subcommand("config", "On a host: set the server, the project and the token");
  auto configured = std::make_shared<ConfigOptions>();
  server_api::add_account_flags(*config, configured->given);
  add_runner_flags(*config, configured->given);
  config->add_flag("!--no-check", configured->check, "Write the configuration without contacting the server");
  config->callback([&command, configured] { command = *configured; });

  CLI::App* status = app.add_subcommand("status", "On a host: show whether it is a runner, and its state");
  auto asked = std::make_shared<StatusOptions>();
  server_api::add_account_flags(*status, asked->given);
  status->add_flag("--json", asked->json, "Print it as JSON");
  status->callback([&command, asked] { command = *asked; });

  CLI::App* leave = app.add_subcommand("leave", "On a host: remove it from the project, and undo what start did");
  auto leaving = std::make_shared<LeaveOptions>();
  server_api::add_account_flags(*leave, leaving->given);
  leave->add_flag("--force", leaving->force, "Stop the runs on this host; leave even if the server is away");
  leave->add_flag("--purge", leaving->purge, "Also remove the configuration and the programs that start kept");
  leave->callback([&command, leaving] { command = *leaving; });

  app.add_subcommand("agent", "")->group("")->callback([&command] { command = AgentOptions{}; });
}

int execute(const Command& command) {
  if (const auto* options = std::get_if<ConfigOptions>(&command)) return configure(*options);
  if (const auto* options = std::get_if<StartOptions>(&command)) return start(*options);
  if (const auto* options = std::get_if<StatusOptions>(&command)) return show_status(*options);
  if (const auto* options = std::get_if<LeaveOptions>(&command)) return leave(*options);
  if (const auto* options = std::get_if<AgentOptions>(&command)) return run_agent(*options);
  return exit_status::kUsage;
}

}  // namespace dstack::runner::join
