#include "runner/options.h"

#include <CLI/CLI.hpp>
#include <format>

#include "common/cli/describe.h"
#include "common/error.h"
#include "common/log/log.h"
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
          "A public key that may log in; may be given several times")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->trigger_on_parse();
  start.add_option("--ssh-log-level", options.ssh_log_level, "LogLevel of the SSH server")->capture_default_str();
  // Shims before 0.20.4 pass it.
  start.add_option("--home-dir", "Ignored")->group("");
}

}  // namespace

std::variant<Options, int> parse_command_line(int argc, const char* const* argv) {
  Options options;
  std::string level = "info";
  CLI::App app("Runs one job in its container and serves its logs.", "dstack-runner");
  app.set_version_flag("--version", std::format("dstack-runner version {}", version()));
  cli::add_help_json(app);
  app.require_subcommand(1);
  app.fallthrough();
  // As Go programs have it: the last one counts. Subcommands inherit this.
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.add_option("--log-level", level, "fatal, error, warning, info, debug, trace, or 1 to 6")->capture_default_str();
  add_start_options(*app.add_subcommand("start", "Wait for a job, run it, leave"), options);
  try {
    app.parse(argc, argv);
    const auto parsed = log::parse_level(level);
    if (!parsed) throw CLI::ValidationError("--log-level", std::format("{} is no log level", printable(level)));
    options.log_level = *parsed;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  }
  return options;
}

}  // namespace dstack::runner
