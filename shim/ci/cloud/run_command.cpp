#include "shim/ci/cloud/run_command.h"

#include <algorithm>
#include <format>
#include <string_view>

namespace dstack::shim::ci::cloud {

namespace {

// A word of a shell's command line.
std::string quoted(const std::string& text) {
  const bool plain = !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-./:,=@+%").contains(c);
  });
  if (plain) return text;
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

std::string idle_time_of(const IdleTime& idle) {
  return idle.limit ? std::to_string(idle.limit->count()) : std::string("never");
}

std::vector<std::string> launcher_arguments(const LauncherFlags& flags, const RunLauncher& launcher) {
  std::string labels;
  for (const std::string& label : flags.labels) labels += (labels.empty() ? "" : ",") + label;
  std::vector<std::string> arguments{"--name",         launcher.name,           "--driver", launcher.driver,
                                     "--repo",         launcher.repo,           "--labels", labels,
                                     "--idle-timeout", idle_time_of(flags.idle)};
  if (flags.single) arguments.emplace_back("--single");
  if (flags.no_retry) arguments.emplace_back("--no-retry");
  if (!flags.workdir.empty()) arguments.insert(arguments.end(), {"--workdir", flags.workdir.string()});
  if (flags.log_format)
    arguments.insert(arguments.end(), {"--log-format", *flags.log_format == LogFormat::json ? "json" : "text"});
  // Of the port: the run's container has no shim that listens, and the launcher brings one of its own.
  const std::vector<std::string> containers = to_arguments(flags.containers);
  for (std::size_t i = 0; i < containers.size(); ++i) {
    if (containers[i] == "--shim-http-port") {
      ++i;
    } else {
      arguments.push_back(containers[i]);
    }
  }
  return arguments;
}

// What another dstack-shim does with an unknown command is not tried: its file is looked at.
std::string check_of_program() {
  return std::format(
      "{{ grep -q ci-runner {0} || {{ echo '{0} of this machine has no ci-runner: the server has to install this "
      "dstack-shim (DSTACK_SHIM_DOWNLOAD_URL)' >&2; exit 1; }}; }}",
      kShimOfInstance);
}

// The script gets no token.
std::string startup() {
  return std::format(
      "startup=$(mktemp) && printf %s \"${}\" | base64 -d >\"$startup\" && env -u {} -u {} -u {} bash -e \"$startup\" "
      "</dev/null",
      kStartupVariable, kStartupVariable, kRunnerTokenVariable, kTokenVariable);
}

}  // namespace

std::vector<std::string> run_commands(const LauncherFlags& flags, const RunLauncher& launcher) {
  std::vector<std::string> commands{check_of_program()};
  if (!flags.cloud.startup_script.empty()) commands.push_back(startup());
  std::string command = std::format("exec {} ci-runner", kShimOfInstance);
  for (const std::string& argument : launcher_arguments(flags, launcher)) command += " " + quoted(argument);
  commands.push_back(std::move(command));
  return commands;
}

}  // namespace dstack::shim::ci::cloud
