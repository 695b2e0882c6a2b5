#include "runner/options.h"

#include <CLI/CLI.hpp>
#include <format>
#include <print>

#include "common/cli/describe.h"
#include "common/command_error.h"
#include "common/exit_status.h"
#include "common/log/log.h"
#include "common/text/split.h"
#include "common/version.h"

namespace dstack::runner {

namespace {

void add_start_options(CLI::App& start, Options& options) {
  start.add_option("--temp-dir", options.temp_dir, "Folder for logs and other temporary files")->capture_default_str();
  start.add_option("--http-address", options.http_address, "Address that the API listens on; empty: every interface");
  start.add_option("--http-port", options.http_port, "Port of the API")
      ->capture_default_str()
      ->check(CLI::Range(0, 65535));
  start.add_option("--ssh-port", options.ssh_port, "Port of the SSH server")
      ->capture_default_str()
      ->check(CLI::Range(1, 65535));
  // By a function, so that the text is taken as it is: a key may hold commas and brackets.
  start
      .add_option_function<std::string>(
          "--ssh-authorized-key", [&options](const std::string& key) { options.ssh_authorized_keys.push_back(key); },
          "A public key that may log in; may be repeated")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->trigger_on_parse();
  start.add_option("--ssh-log-level", options.ssh_log_level, "LogLevel of the SSH server")->capture_default_str();
  start.add_flag("--hold", options.hold,
                 "Run no job: keep the container for programs that are started through the API");
  start.add_option("--token-file", options.token_file,
                   "With --hold: a file below /tmp/runner with the token that callers must send; it is removed");
  // Shims before 0.20.4 pass it.
  start.add_option("--home-dir", "Ignored")->group("");
}

// "UID:GID"
std::string parse_owner(const std::string& text, ChownCommand& chown) {
  std::string_view rest = text;
  const auto uid = os::parse_user_id(text::take_until(rest, ':'));
  const auto gid = os::parse_user_id(rest);
  if (!uid || !gid) return std::format("{} is not UID:GID", printable(text));
  chown.uid = *uid;
  chown.gid = *gid;
  return {};
}

CLI::App* add_chown(CLI::App& app, ChownCommand& chown) {
  CLI::App* command = app.add_subcommand("chown", "Change the owner of a file, or of a folder and everything below it");
  command->add_option("owner", "UID:GID, numbers")
      ->required()
      ->check(CLI::Validator([&chown](const std::string& text) { return parse_owner(text, chown); }, ""));
  command->add_option("path", chown.path, "File or folder; symbolic links are changed, not followed")->required();
  return command;
}

}  // namespace

Invocation parse_command_line(int argc, const char* const* argv, bool process_1) {
  Options options;
  join::StartOptions host_start;
  join::Command command;
  std::string level = "info";
  CLI::App app(
      "Runs one job in its container and serves its logs; on a host, makes the host a runner of a dstack server.",
      "dstack-runner");
  app.set_version_flag("--version", std::format("dstack-runner version {}", version()));
  cli::add_help_json(app);
  app.require_subcommand(1);
  app.fallthrough();
  // As Go programs have it: the last one counts. Subcommands inherit this.
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.add_option("--log-level", level, "fatal, error, warning, info, debug, trace, or 1 to 6")->capture_default_str();
  CLI::App& start =
      *app.add_subcommand("start", "In a container: wait for a job and run it. On a host: become a runner");
  add_start_options(start, options);
  join::add_commands(app, start, host_start, command);
  // What a container's runner has always ended with; a person's commands have their own.
  int usage_status = exit_status::kFailed;
  ChownCommand chown;
  const CLI::App* chown_command = add_chown(app, chown);
  // For the runner itself.
  const CLI::App* supervise = app.add_subcommand("supervise")->group("");
  try {
    const bool host = join::is_host_start(argc, argv, process_1);
    if (host) usage_status = exit_status::kUsage;
    app.parse(argc, argv);
    const auto parsed = log::parse_level(level);
    if (!parsed) throw CLI::ValidationError("--log-level", std::format("{} is not a log level", printable(level)));
    options.log_level = *parsed;
    if (!options.token_file.empty() && !options.hold) throw CLI::ValidationError("--token-file", "is for --hold only");
    if (chown_command->parsed()) return chown;
    if (supervise->parsed()) return SuperviseCommand{};
    if (start.parsed() && !host) return options;
    return command;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_status::kDone : usage_status;
  } catch (const CommandError& error) {
    std::println(stderr, "dstack-runner: {}", error.what());
    return error.exit_status();
  }
}

}  // namespace dstack::runner
