#include "shim/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <format>
#include <iostream>

#include "common/cli/describe.h"
#include "common/cli/end_options.h"
#include "common/cli/unknown_option.h"
#include "common/error.h"
#include "common/exit_status.h"
#include "common/log/log.h"
#include "common/os/user_home.h"
#include "common/text/letter_case.h"
#include "common/text/quantity.h"
#include "common/text/split.h"
#include "common/text/trim.h"
#include "common/version.h"
#include "shim/autoscale/autoscale.h"
#include "shim/aws/aws.h"
#include "shim/ci/command.h"
#include "shim/ci/launcher.h"
#include "shim/ci/launcher_flags.h"
#include "shim/client/copy.h"
#include "shim/client/doctor.h"
#include "shim/client/drain_commands.h"
#include "shim/client/exec.h"
#include "shim/client/gpu_command.h"
#include "shim/client/run.h"
#include "shim/client/task_commands.h"
#include "shim/host_end/cloud.h"
#include "shim/pool/runners.h"
#include "shim/relay/relay.h"
#include "shim/top/command.h"

namespace dstack::shim {

namespace {

// As they stand on the command line, before defaults that need the machine are worked out.
constexpr const char* kDefaultHome = "~/.dstack";
constexpr const char* kDefaultRunner = "/usr/local/bin/dstack-runner";

constexpr const char* kNoMetadata = "none";

struct RawOptions {
  std::string home = kDefaultHome;
  std::string binary_path;
  std::string log_level = "info";
  std::string runner_binary_path = kDefaultRunner;
  std::string keep_logs;
  std::string task_disk = "0";
  std::string registry_mirror;
  std::string image_gc_start = "15%,20G";
  std::string image_gc_stop = "25%,40G";
  std::string image_gc_min_age = "1h";
  std::string metadata_url = host_end::kMetadataUrl;
  std::string pass_env = "http_proxy,https_proxy,no_proxy,HTTP_PROXY,HTTPS_PROXY,NO_PROXY";
};

std::filesystem::path expand(const std::string& path) {
  std::filesystem::path expanded = path;
  if (path == "~") expanded = os::user_home();
  if (path.starts_with("~/")) expanded = os::user_home() / path.substr(2);
  return std::filesystem::absolute(expanded).lexically_normal();
}

std::filesystem::path running_executable() {
  std::error_code failure;
  auto path = std::filesystem::read_symlink("/proc/self/exe", failure);
  return failure ? std::filesystem::path("dstack-shim") : path;
}

std::vector<std::string> split_names(std::string_view list) {
  std::vector<std::string> names;
  for (const std::string_view piece : text::split(list, ',')) {
    if (const std::string_view name = text::trim(piece); !name.empty()) names.emplace_back(name);
  }
  return names;
}

// The check of a level, for CLI11: the text of what is wrong, empty if nothing is.
std::string check_level(const std::string& name) {
  if (log::parse_level(name)) return {};
  return std::format("unknown log level {}: use fatal, error, warn, info, debug, trace or 1 to 6", printable(name));
}

std::string check_log_limits(const std::string& limits) {
  if (limits.empty()) return {};
  try {
    task::parse_log_limits(limits);
    return {};
  } catch (const std::exception& error) {
    return error.what();
  }
}

std::string check_registry_mirror(const std::string& mirror) {
  if (mirror.empty()) return {};
  try {
    docker::parse_registry_mirror(mirror);
    return {};
  } catch (const std::exception& error) {
    return error.what();
  }
}

std::string check_disk_share(const std::string& share) {
  try {
    images::parse_disk_share(share);
    return {};
  } catch (const std::exception& error) {
    return error.what();
  }
}

std::string check_metadata_url(const std::string& url) {
  if (url == kNoMetadata || url.starts_with("http://")) return {};
  return std::format("invalid value {}: expected {} or http://HOST[:PORT]", printable(url), kNoMetadata);
}

// "20G", or 0.
std::optional<std::int64_t> parse_disk_limit(std::string_view text) {
  if (text == "0") return 0;
  const auto size = text::parse_size(text);
  if (!size || *size == 0) return std::nullopt;
  return static_cast<std::int64_t>(*size);
}

std::string check_disk_limit(const std::string& size) {
  if (parse_disk_limit(size)) return {};
  return std::format("invalid value {}: expected as 500M, 20G or 1T", printable(size));
}

std::string check_duration(const std::string& duration) {
  if (text::parse_duration(duration)) return {};
  return std::format("invalid value {}: expected as 90s, 10m, 1h or 7d", printable(duration));
}

template <typename Value>
CLI::Option* add(CLI::App& app, const std::string& flag, const std::string& variable, Value& value,
                 const std::string& description) {
  return app.add_option(flag, value, description)->envname(variable)->capture_default_str()->take_last();
}

// The check of a switch's variable, for CLI11, which converts it later: a bad one would end every command.
std::string check_switch(const std::string& value) {
  constexpr std::array kValues{"1", "0", "true", "false", "on", "off", "yes", "no"};
  if (std::ranges::contains(kValues, text::lower_case(value))) return {};
  return std::format("{} is not true or false", printable(value));
}

void add_switch(CLI::App& app, const std::string& flag, const std::string& variable, bool& value,
                const std::string& description) {
  app.add_flag(flag, value, description)->envname(variable)->check(CLI::Validator(check_switch, ""));
}

void add_daemon_flags(CLI::App& app, Options& options, RawOptions& raw) {
  const CLI::Range port(0, 65535);
  add(app, "--shim-home", "DSTACK_SHIM_HOME", raw.home, "Folder of tasks, journals and logs; created if missing");
  add(app, "--shim-binary-path", "DSTACK_SHIM_BINARY_PATH", raw.binary_path,
      "Path of the shim binary (default: the running executable)");
  add(app, "--shim-http-port", "DSTACK_SHIM_HTTP_PORT", options.http_port, "Port of the API on 127.0.0.1")->check(port);
  add(app, "--shim-log-level", "DSTACK_SHIM_LOG_LEVEL", raw.log_level,
      "fatal, error, warn, info, debug, trace or 1 to 6")
      ->check(CLI::Validator(check_level, ""));
  add(app, "--runner-download-url", "DSTACK_RUNNER_DOWNLOAD_URL", options.runner_download_url,
      "URL to download the runner from if it is missing");
  add(app, "--runner-binary-path", "DSTACK_RUNNER_BINARY_PATH", raw.runner_binary_path,
      "Path of the runner binary on this host");
  add(app, "--runner-http-port", "DSTACK_RUNNER_HTTP_PORT", options.runner_http_port, "The runner's API port")
      ->check(port);
  add(app, "--runner-ssh-port", "DSTACK_RUNNER_SSH_PORT", options.runner_ssh_port, "The runner's SSH port")
      ->check(port);
  add(app, "--runner-ssh-log-level", "DSTACK_RUNNER_SSH_LOG_LEVEL", options.runner_ssh_log_level,
      "Passed on to the runner");
  add(app, "--runner-log-level", "DSTACK_RUNNER_LOG_LEVEL", options.runner_log_level, "Passed on to the runner")
      ->check(CLI::Validator(check_level, ""));
  add(app, "--dcgm-exporter-http-port", "DSTACK_DCGM_EXPORTER_HTTP_PORT", options.dcgm_exporter_http_port,
      "Port of dcgm-exporter on 127.0.0.1")
      ->check(port);
  add(app, "--dcgm-exporter-interval", "DSTACK_DCGM_EXPORTER_INTERVAL", options.dcgm_exporter_interval_ms,
      "Milliseconds between two samples of dcgm-exporter")
      ->check(CLI::Range(1, INT32_MAX));
  add(app, "--dcgm-address", "DSTACK_DCGM_ADDRESS", options.dcgm_address,
      "A DCGM host engine (default: an embedded one)");
  add(app, "--pass-env", "DSTACK_DOCKER_PASS_ENV", raw.pass_env, "Variables that containers get, separated by commas");
  add_switch(app, "--privileged", "DSTACK_DOCKER_PRIVILEGED", options.privileged, "Make every container privileged");
  add(app, "--task-pids", "DSTACK_SHIM_TASK_PIDS", options.task_pids,
      "Limit of processes and threads in a container (0: none)")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{4194304}));
  add(app, "--task-disk", "DSTACK_SHIM_TASK_DISK", raw.task_disk,
      "Limit of what a container may write outside of its volumes, as 20G (0: none); Docker must use overlay2 on XFS "
      "that is mounted with pquota")
      ->check(CLI::Validator(check_disk_limit, ""));
  add(app, "--registry-mirror", "DSTACK_SHIM_REGISTRY_MIRROR", raw.registry_mirror,
      "Registry to try first for public images by tag, as mirror.example:5000; what it has must have the digest of the "
      "image's own registry")
      ->check(CLI::Validator(check_registry_mirror, ""));
  add_switch(app, "--host-credentials", "DSTACK_SHIM_HOST_CREDENTIALS", options.host_credentials,
             "Pull images of tasks that bring no login with the logins in root's Docker config.json and its credential "
             "helpers (any project's job may then use them)");
  add(app, "--keep-logs", "DSTACK_SHIM_KEEP_LOGS", raw.keep_logs,
      "Keep the logs of removed tasks in <home>/logs: SIZE,AGE in all, as 10G,30d (default: remove them)")
      ->check(CLI::Validator(check_log_limits, ""));
  add(app, "--image-gc-start", "DSTACK_SHIM_IMAGE_GC_START", raw.image_gc_start,
      "Remove images that the shim pulled and nothing needs when less of Docker's disk is free, least recently used "
      "first: a "
      "part, a size or the lesser of both (0: never)")
      ->check(CLI::Validator(check_disk_share, ""));
  add(app, "--image-gc-stop", "DSTACK_SHIM_IMAGE_GC_STOP", raw.image_gc_stop, "Until so much is free")
      ->check(CLI::Validator(check_disk_share, ""));
  add(app, "--image-gc-min-age", "DSTACK_SHIM_IMAGE_GC_MIN_AGE", raw.image_gc_min_age,
      "But no image that was used or pulled in this time, as 1h")
      ->check(CLI::Validator(check_duration, ""));
  add(app, "--cloud-metadata-url", "DSTACK_SHIM_CLOUD_METADATA_URL", raw.metadata_url,
      "The metadata service that is asked for notices of interruption in AWS, Azure and Google Cloud (none: do not "
      "ask)")
      ->check(CLI::Validator(check_metadata_url, ""));
  add(app, "--pjrt-device", "PJRT_DEVICE", options.pjrt_device, "PJRT_DEVICE in containers");
  add_switch(app, "--allow-task-callers", "DSTACK_SHIM_ALLOW_TASK_CALLERS", options.allow_task_callers,
             "Also accept API calls from task containers (gives jobs root on the host)");
  add_switch(app, "--service", "DSTACK_SERVICE_MODE", options.service, "Write host_info.json for the server");
}

// CLI11 takes a variable for unset whose value does not pass the checks of its flag. For the daemon only: a person's
// command does not fail over a variable that it has no use for.
void refuse_ignored_variables(const CLI::App& app) {
  for (const CLI::Option* option : app.get_options()) {
    const std::string& variable = option->get_envname();
    const char* value = variable.empty() ? nullptr : std::getenv(variable.c_str());
    if (option->count() > 0 || value == nullptr || *value == '\0') continue;
    throw CLI::ValidationError(variable, std::format("invalid value {} for {}", printable(value), option->get_name()));
  }
}

bool is_daemon(const CLI::App& app) {
  const auto subcommands = app.get_subcommands();
  return subcommands.empty() || subcommands.front()->get_name() == "serve";
}

// What raw options hold was checked as they were parsed.
// NOLINTBEGIN(bugprone-unchecked-optional-access)
void finish(Options& options, const RawOptions& raw) {
  options.home = expand(raw.home.empty() ? kDefaultHome : raw.home);
  options.binary_path = raw.binary_path.empty() ? running_executable() : expand(raw.binary_path);
  options.runner_binary_path = expand(raw.runner_binary_path.empty() ? kDefaultRunner : raw.runner_binary_path);
  options.log_level = log::parse_level(raw.log_level).value();
  options.pass_env = split_names(raw.pass_env);
  options.task_disk = parse_disk_limit(raw.task_disk).value();
  options.image_gc_start = images::parse_disk_share(raw.image_gc_start);
  options.image_gc_stop = images::parse_disk_share(raw.image_gc_stop);
  options.image_gc_min_age = text::parse_duration(raw.image_gc_min_age).value();
  if (raw.metadata_url != kNoMetadata) options.metadata_url = raw.metadata_url;
  if (!raw.registry_mirror.empty()) options.registry_mirror = docker::parse_registry_mirror(raw.registry_mirror);
  if (!raw.keep_logs.empty()) options.keep_logs = task::parse_log_limits(raw.keep_logs);
}
// NOLINTEND(bugprone-unchecked-optional-access)

// What a command takes of the daemon's flags.
template <typename Flags>
void complete(const Options& options, Flags& flags) {
  if constexpr (requires { flags.shim_port; }) flags.shim_port = options.http_port;
  if constexpr (requires { flags.runner_binary; }) {
    flags.home = options.home;
    flags.runner_binary = options.runner_binary_path;
    flags.runner_http_port = options.runner_http_port;
    flags.runner_ssh_port = options.runner_ssh_port;
    flags.allow_task_callers = options.allow_task_callers;
  }
}

// `options` must outlive the parsing.
void add_commands(cli::Commands& commands, const Options& options) {
  const auto add = [&]<typename Flags>(CLI::App* (*add_flags)(CLI::App&, Flags&), int (*execute)(const Flags&),
                                       exit_status::Failures failures) {
    commands.add<Flags>(add_flags, execute, failures, [&options](Flags& flags) { complete(options, flags); });
  };
  add(client::add_run_command, client::run, exit_status::kOfRun);
  add(client::add_exec_command, client::exec, exit_status::kOfTaskCommands);
  add(client::add_copy_command, client::copy, exit_status::kOfTaskCommands);
  add(client::add_list_command, client::list_tasks, exit_status::kOfTaskCommands);
  add(client::add_attach_command, client::attach, exit_status::kOfTaskCommands);
  add(client::add_wait_command, client::wait_tasks, exit_status::kOfTaskCommands);
  add(client::add_inspect_command, client::inspect_tasks, exit_status::kOfTaskCommands);
  add(client::add_logs_command, client::show_logs, exit_status::kOfTaskCommands);
  add(client::add_stop_command, client::stop_tasks, exit_status::kOfTaskCommands);
  add(client::add_remove_command, client::remove_tasks, exit_status::kOfTaskCommands);
  add(client::add_drain_command, client::drain_host, exit_status::kOfTaskCommands);
  add(client::add_undrain_command, client::undrain_host, exit_status::kOfTaskCommands);
  add(client::add_gpu_command, client::accept_gpu, exit_status::kOfTaskCommands);
  add(top::add_top_command, top::top, exit_status::kOfTaskCommands);
  add(client::add_doctor_command, client::doctor, exit_status::kOfTaskCommands);
  add(pool::add_runners_command, pool::list_runners, exit_status::kOfServerCommands);
  add(ci::add_ci_command, ci::execute, exit_status::kOfCiCommands);
  add(relay::add_relay_command, relay::execute, exit_status::kOfServerCommands);
  add(aws::add_aws_command, aws::execute, exit_status::kOfServerCommands);
  add(autoscale::add_autoscale_command, autoscale::execute, exit_status::kOfServerCommands);
  add(ci::add_ci_runner_command, ci::run_launcher, exit_status::kOfCiCommands);
}

// The program's own options that a command may be given, too: where the shim is and, for those that look at the
// daemon's host, its other settings. `run` has docker's options, whose names some of the daemon's have with another
// meaning.
std::vector<const CLI::Option*> shared_options(const CLI::App& app, const CLI::App& command) {
  if (command.get_name() == "run") return {app.get_option("--shim-http-port")};
  return app.get_options();
}

// Says which option a command does not have, and the nearest one that it has; false if it has all.
bool refuse_unknown_option(const CLI::App& app, const cli::Commands& commands,
                           const std::vector<std::string>& arguments) {
  const CLI::App* command = commands.given_app();
  // Of a command with commands of its own, CLI11 says enough.
  if (command == nullptr || !command->get_subcommands([](const CLI::App*) { return true; }).empty()) return false;
  const auto at = std::ranges::find(arguments, command->get_name());
  const std::vector<std::string> own(at == arguments.end() ? at : at + 1, arguments.end());
  const auto unknown = cli::find_unknown_option(*command, own, shared_options(app, *command));
  if (!unknown) return false;
  std::cerr << std::format(
      "dstack-shim: {} has no option {}; the nearest one is {} (dstack-shim {} --help lists them)\n",
      command->get_name(), printable(*unknown), cli::nearest_option(*command, *unknown), command->get_name());
  return true;
}

void add_serve(CLI::App& app) { app.add_subcommand("serve", "Run the daemon (the default without a subcommand)"); }

// As CLI11 takes them.
std::vector<std::string> reversed(const std::vector<std::string>& arguments) {
  return {arguments.rbegin(), arguments.rend()};
}

// The daemon's own command line. To make the commands and their flags takes a third of the time of its start, and it
// needs none of them. Nothing for any other command line, also for one that is wrong: what knows all commands says so.
std::optional<Options> parse_daemon_command_line(const std::vector<std::string>& arguments) {
  if (!arguments.empty() && !arguments.front().starts_with('-') && arguments.front() != "serve") return std::nullopt;
  Options options;
  RawOptions raw;
  CLI::App app;
  app.fallthrough();
  add_daemon_flags(app, options, raw);
  add_serve(app);
  try {
    app.parse(reversed(arguments));
    refuse_ignored_variables(app);
    finish(options, raw);
    return options;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

}  // namespace

Invocation parse_command_line(int argc, const char* const* argv) {
  const std::vector<std::string> given = ci::launcher_command_line(argc, argv);
  if (auto daemon = parse_daemon_command_line(given)) return *std::move(daemon);
  Options options;
  RawOptions raw;
  CLI::App app("The host side of dstack: runs tasks as containers for a dstack server.", "dstack-shim");
  app.set_version_flag("--version,-v", std::format("dstack-shim version {}", version()));
  cli::add_help_json(app);
  app.require_subcommand(0, 1);
  app.fallthrough();
  add_daemon_flags(app, options, raw);
  add_serve(app);
  cli::Commands commands(app);
  add_commands(commands, options);

  const std::vector<std::string> arguments = cli::end_options(app, given, {{"run", 0}, {"exec", 1}});
  try {
    if (ci::asks_for_version(arguments)) throw CLI::CallForVersion(app.version(), exit_status::kDone);
    app.parse(reversed(arguments));
    if (is_daemon(app)) refuse_ignored_variables(app);
    finish(options, raw);
  } catch (const CLI::ParseError& error) {
    if (refuse_unknown_option(app, commands, arguments)) return commands.usage_status(exit_status::kFailed);
    const int status = app.exit(error, std::cout, std::cerr);
    return status == 0 ? exit_status::kDone : commands.usage_status(exit_status::kFailed);
  } catch (const std::exception& error) {
    std::cerr << "dstack-shim: " << error.what() << "\n";
    return exit_status::kFailed;
  }
  if (refuse_unknown_option(app, commands, arguments)) return commands.usage_status(exit_status::kFailed);
  if (cli::Command command = commands.given(); command.execute) return command;
  return options;
}

}  // namespace dstack::shim
