#include "shim/ci/launcher_flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstring>
#include <format>
#include <string_view>

#include "common/error.h"
#include "common/text/control_characters.h"
#include "common/text/letter_case.h"
#include "common/text/split.h"
#include "common/text/trim.h"

namespace dstack::shim::ci {

namespace {

constexpr std::size_t kLongestName = 64;
// What the name cml-runner stands for, between launcher_command_line() and the parsing.
constexpr const char* kCmlRunnerFlag = "--as-cml-runner";

// Flags of CML that mean nothing here, each with a value.
constexpr std::array kIgnoredFlags = {"--log",
                                      "--cloud-permission-set",
                                      "--cloud-metadata",
                                      "--cloud-aws-security-group",
                                      "--cloud-aws-subnet",
                                      "--cloud-aws-subnet-id",
                                      "--cloud-kubernetes-node-selector",
                                      "--cloud-image",
                                      "--tpi-version",
                                      "--cml-version",
                                      "--destroy-delay",
                                      "--tf-resource",
                                      "--tf_resource",
                                      "--gcp-access-token",
                                      "--runner-path"};
constexpr std::array kIgnoredSwitches = {"--cloud-ssh-private-visible"};

// The checks of CLI11: what is wrong with a value, "" if nothing is.

std::string problem_of_text(const std::string& text) {
  if (text::trim(text).empty()) return "an empty value";
  return text::has_control(text) ? std::format("{} has control characters", printable(text)) : std::string();
}

std::string problem_of_token(const std::string& token) {
  return text::trim(token).empty() ? "an empty value" : std::string();
}

std::vector<std::string> split_labels(std::string_view list) {
  std::vector<std::string> labels;
  for (const std::string_view piece : text::split(list, ',')) {
    std::string label(text::trim(piece));
    if (!label.empty() && !std::ranges::contains(labels, label)) labels.push_back(std::move(label));
  }
  return labels;
}

std::string problem_of_labels(const std::string& list) {
  if (text::has_control(list)) return std::format("{} has control characters", printable(list));
  return split_labels(list).empty() ? std::format("{} has no label", printable(list)) : std::string();
}

std::string problem_of_idle_time(const std::string& text) {
  if (parse_idle_time(text)) return {};
  return std::format("{} is neither whole seconds, nor a number with s, min, h or d, nor never", printable(text));
}

std::string problem_of_name(const std::string& name) {
  const bool good = std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_.-").contains(c);
  });
  if (name.empty()) return "an empty value";
  if (good && name.size() <= kLongestName && name != "." && name != "..") return {};
  return std::format("{} is not 1 to {} of A-Z a-z 0-9 _ . -", printable(name), kLongestName);
}

std::string problem_of_driver(const std::string& driver) {
  if (driver == "gitlab" || driver == "github") return {};
  return std::format("{} is neither github nor gitlab", printable(driver));
}

std::string problem_of_format(const std::string& format) {
  return format == "text" || format == "json" ? std::string()
                                              : std::format("{} is neither text nor json", printable(format));
}

template <typename Set>
CLI::Option* add(CLI::App& command, const std::string& flag, const std::string& description,
                 std::string (*problem)(const std::string&), Set set) {
  return command.add_option_function<std::string>(flag, set, description)
      ->check(CLI::Validator(problem, ""))
      ->take_last();
}

void add_ignored_flags(CLI::App& command, LauncherFlags& flags) {
  const auto warn = [&flags](const std::string& flag) {
    flags.warnings.push_back(std::format("{} means nothing here and is ignored", flag));
  };
  for (const char* flag : kIgnoredFlags) {
    command.add_option_function<std::string>(flag, [warn, flag](const std::string&) { warn(flag); })->group("");
  }
  for (const char* flag : kIgnoredSwitches) {
    command.add_flag_function(flag, [warn, flag](std::int64_t) { warn(flag); })->group("");
  }
}

// After the parsing: takes the variables in, and checks what one flag alone cannot show.
void finish(CLI::App& command, LauncherFlags& flags) {
  read_variables(command);
  if (flags.is_cml_runner && command.get_option("--host-jobs")->count() == 0) flags.containers.host_jobs = true;
  for (std::string& warning : cloud::check_cloud_flags(command, flags.cloud))
    flags.warnings.push_back(std::move(warning));
  if (flags.cloud.is_wanted() && flags.containers.shim_port)
    flags.warnings.emplace_back("--shim-http-port means nothing with --cloud and is ignored");
  if (flags.single && (flags.reuse || flags.reuse_idle))
    throw CLI::ValidationError("--single", "cannot be used with --reuse or --reuse-idle");
  // Checked here, so that the message does not quote it.
  if (text::has_control(flags.token.reveal()))
    throw CLI::ValidationError("--token", "the token has control characters");
  // A path with a slash at its end names the same folder.
  if (!flags.workdir.empty() && !flags.workdir.has_filename()) flags.workdir = flags.workdir.parent_path();
}

}  // namespace

CLI::App* add_ci_runner_command(CLI::App& app, LauncherFlags& flags) {
  CLI::App* command = app.add_subcommand("ci-runner",
                                         "Make this machine a self-hosted CI runner, until it has had no job for a "
                                         "while. Each flag can also be given by a "
                                         "variable: CML_RUNNER_ and its name, as CML_RUNNER_IDLE_TIMEOUT");
  add(*command, "--labels", "Labels of the runner, separated by commas", problem_of_labels,
      [&flags](const std::string& list) { flags.labels = split_labels(list); })
      ->default_str("cml");
  add(*command, "--idle-timeout", "Time without a job until it ends: seconds, or with s, min, h, d; never",
      problem_of_idle_time,
      [&flags](const std::string& text) { flags.idle = parse_idle_time(text).value_or(IdleTime{}); })
      ->default_str("300");
  add(*command, "--name", "Name of the runner (default: cml- and ten characters)", problem_of_name,
      [&flags](const std::string& name) { flags.name = name; });
  command->add_flag("--single", flags.single, "End after one job");
  command->add_flag("--reuse", flags.reuse, "End at once if an online runner has this name or all these labels");
  command->add_flag("--reuse-idle", flags.reuse_idle, "The same, if that runner has no job");
  add(*command, "--driver", "The CI: github or gitlab (default: inferred)", problem_of_driver,
      [&flags](const std::string& driver) { flags.driver = driver; });
  add(*command, "--repo", "URL of the repository, group or organisation (default: inferred)", problem_of_text,
      [&flags](const std::string& repo) { flags.repo = repo; });
  add(*command, "--token", "Token of the CI (default: REPO_TOKEN, GITHUB_TOKEN, GITLAB_TOKEN)", problem_of_token,
      [&flags](const std::string& token) { flags.token = Secret(std::string(text::trim(token))); });
  command->add_flag("--no-retry", flags.no_retry, "Do not run a job again that was cut off");
  add(*command, "--workdir,--path", "Folder of the launcher (default: /var/lib/dstack-ci/NAME, ~/.dstack/ci/NAME)",
      problem_of_text,
      [&flags](const std::string& folder) { flags.workdir = std::filesystem::absolute(folder).lexically_normal(); });
  add_container_flags(*command, flags.containers);
  add(*command, "--log-format", "text or json, on standard error (default: text on a terminal)", problem_of_format,
      [&flags](const std::string& format) { flags.log_format = format == "json" ? LogFormat::json : LogFormat::text; });
  cloud::add_cloud_flags(*command, flags.cloud);
  add_ignored_flags(*command, flags);
  command->add_flag(kCmlRunnerFlag, flags.is_cml_runner)->group("");
  command->add_flag("--version", "Print the version and exit");
  command->callback([command, &flags] { finish(*command, flags); });
  return command;
}

void hide_token(int argc, char** argv) {
  const auto hide = [](char* value) { std::memset(value, '*', std::strlen(value)); };
  std::vector<std::string> secret = cloud::secret_cloud_flags();
  secret.insert(secret.end(), {"--token", "--gcp-access-token"});
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    for (const std::string& flag : secret) {
      if (argument == flag && i + 1 < argc) hide(argv[i + 1]);
      if (argument.starts_with(flag) && argument.substr(flag.size()).starts_with('=')) hide(argv[i] + flag.size() + 1);
    }
  }
}

std::vector<std::string> launcher_command_line(int argc, const char* const* argv) {
  std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  if (argc > 0 && std::filesystem::path(argv[0]).filename() == "cml-runner")
    arguments.insert(arguments.begin(), {"ci-runner", kCmlRunnerFlag});
  return arguments;
}

bool asks_for_version(const std::vector<std::string>& arguments) {
  return !arguments.empty() && arguments[0] == "ci-runner" && std::ranges::contains(arguments, "--version");
}

}  // namespace dstack::shim::ci
