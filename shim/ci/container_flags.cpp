#include "shim/ci/container_flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <format>

#include "common/error.h"
#include "common/text/number.h"
#include "common/text/split.h"
#include "common/text/trim.h"

namespace dstack::shim::ci {

namespace {

constexpr const char* kPortFlag = "shim-http-port";

// The checks of CLI11: what is wrong with a value, "" if nothing is.

std::string empty_problem(const std::string& text) {
  return text::trim(text).empty() ? "an empty value" : std::string();
}

std::string gpu_problem(const std::string& text) {
  const bool is_count = text.size() < 5 && text::is_digits(text);
  return is_count || text == "all" ? std::string() : std::format("{} is neither a number nor all", printable(text));
}

std::string volume_problem(const std::string& text) {
  return parse_volume(text) ? std::string() : std::format("{} is not of the form SRC:PATH[:ro]", printable(text));
}

std::string folders_problem(const std::string& text) {
  for (const std::string_view folder : text::split(text, ',')) {
    if (const auto path = text::trim(folder); !path.empty() && !path.starts_with('/'))
      return std::format("{} is not an absolute path", printable(path));
  }
  return {};
}

CLI::Option* checked(CLI::Option* option, std::string (*problem)(const std::string&) = nullptr) {
  option->check(CLI::Validator(empty_problem, ""));
  if (problem != nullptr) option->check(CLI::Validator(problem, ""));
  return option;
}

void set_allowed_volumes(ContainerFlags& flags, const std::string& list) {
  flags.allowed_volumes.clear();
  for (const std::string_view folder : text::split(list, ',')) {
    if (const auto path = text::trim(folder); !path.empty())
      flags.allowed_volumes.push_back(std::filesystem::path(path).lexically_normal().string());
  }
}

std::string variable_of(const std::string& flag) {
  std::string variable = "CML_RUNNER_";
  for (const char c : flag) variable += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  return variable;
}

std::vector<std::string> variables_of(const CLI::Option& option) {
  std::vector<std::string> variables;
  for (const std::string& name : option.get_lnames()) {
    variables.push_back(variable_of(name));
    if (name == kPortFlag) variables.emplace_back("DSTACK_SHIM_HTTP_PORT");
  }
  return variables;
}

void read_variable(CLI::Option& option, const std::string& variable, const std::string& value) {
  const auto refuse = [&](std::string_view problem) {
    throw CLI::ValidationError(variable, std::format("invalid value {}: {}", printable(value), problem));
  };
  const bool is_switch = option.get_expected_max() == 0;
  if (is_switch && !std::ranges::contains(std::array{"true", "1", "false", "0"}, value))
    refuse("not true, 1, false or 0");
  try {
    option.add_result(value);
    option.run_callback();
  } catch (const CLI::ParseError& error) {
    refuse(error.what());
  }
}

}  // namespace

std::optional<VolumeFlag> parse_volume(std::string_view text) {
  const std::vector<std::string_view> parts = text::split(text, ':');
  if (parts.size() < 2 || parts.size() > 3 || parts[0].empty() || !parts[1].starts_with('/')) return std::nullopt;
  if (!parts[0].starts_with('/') && parts[0].contains('/')) return std::nullopt;
  if (parts.size() == 3 && parts[2] != "ro" && parts[2] != "rw") return std::nullopt;
  return VolumeFlag{.source = std::string(parts[0]),
                    .target = std::string(parts[1]),
                    .read_only = parts.size() == 3 && parts[2] == "ro"};
}

void add_container_flags(CLI::App& command, ContainerFlags& flags) {
  checked(command.add_option("--image", flags.image, "Image of jobs that do not name one"))->capture_default_str();
  checked(command.add_option("--helper-image", flags.helper_image,
                             "Image for GitLab's own scripts where a job's image has no git (default: GitLab's)"));
  checked(command.add_option("--gpus", flags.gpus, "GPUs of a job's container: a number or all"), gpu_problem);
  checked(command.add_option("--cpus", flags.cpus, "Processors of a job's container, as 1.5"))
      ->check(CLI::NonNegativeNumber);
  checked(command.add_option("--memory", flags.memory, "Memory limit of a job's container, as 8GB"))
      ->transform(CLI::AsSizeValue(false));
  checked(command.add_option("--shm-size", flags.shm_size, "Size of /dev/shm of a job's container, as 1GB"))
      ->transform(CLI::AsSizeValue(false));
  checked(command.add_option("--volume,--docker-volumes", flags.volumes,
                             "SRC:PATH[:ro] in all of a job's containers; may be repeated"),
          volume_problem)
      ->allow_extra_args(false);
  checked(command.add_option_function<std::string>(
              "--allow-volumes", [&flags](const std::string& list) { set_allowed_volumes(flags, list); },
              "Host folders below which a job may mount, separated by commas"),
          folders_problem);
  command.add_flag("--privileged", flags.privileged, "Make a job's containers privileged (gives jobs the host)");
  command.add_flag("--host-jobs", flags.host_jobs, "Run GitHub jobs without a container on the host");
  checked(command.add_option("--shim-http-port", flags.shim_port, "Port of the shim that runs the containers"))
      ->check(CLI::Range(1, 65535));
  checked(command.add_option("--agent", flags.agent, "The CI's own agent: gitlab-runner, or the Actions agent"));
}

void read_variables(CLI::App& command) {
  for (CLI::Option* option : command.get_options()) {
    if (option->count() > 0) continue;
    for (const std::string& variable : variables_of(*option)) {
      const char* value = std::getenv(variable.c_str());
      if (value == nullptr || *value == '\0') continue;
      read_variable(*option, variable, value);
      break;
    }
  }
}

std::vector<std::string> to_arguments(const ContainerFlags& flags) {
  std::vector<std::string> arguments{"--image", flags.image, "--shim-http-port", std::to_string(flags.port())};
  const auto add = [&arguments](const char* flag, const std::string& value) {
    if (!value.empty()) arguments.insert(arguments.end(), {flag, value});
  };
  add("--helper-image", flags.helper_image);
  add("--gpus", flags.gpus);
  if (flags.cpus > 0) add("--cpus", std::format("{}", flags.cpus));
  if (flags.memory > 0) add("--memory", std::to_string(flags.memory));
  if (flags.shm_size) add("--shm-size", std::to_string(*flags.shm_size));
  for (const std::string& volume : flags.volumes) add("--volume", volume);
  std::string allowed;
  for (const std::string& folder : flags.allowed_volumes) allowed += (allowed.empty() ? "" : ",") + folder;
  add("--allow-volumes", allowed);
  add("--agent", flags.agent.string());
  if (flags.privileged) arguments.emplace_back("--privileged");
  if (flags.host_jobs) arguments.emplace_back("--host-jobs");
  return arguments;
}

}  // namespace dstack::shim::ci
