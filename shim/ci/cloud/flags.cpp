#include "shim/ci/cloud/flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <format>
#include <string_view>

#include "common/command_error.h"
#include "common/error.h"
#include "common/exit_status.h"
#include "common/text/base64.h"
#include "common/text/control_characters.h"
#include "common/text/number.h"
#include "common/text/trim.h"

namespace dstack::shim::ci::cloud {

namespace {

constexpr const char* kTokenFlag = "--dstack-token";
constexpr const char* kKeyFlag = "--cloud-ssh-private";
constexpr const char* kScriptFlag = "--cloud-startup-script";
// "The price of the market", in CML's words.
constexpr double kAnyPrice = -1;
constexpr std::int64_t kLargestDisk = 1'000'000;

// The checks of CLI11: what is wrong with a value, "" if nothing is.

std::string problem_of_word(const std::string& text) {
  if (text::trim(text).empty()) return "an empty value";
  return text::has_control(text) ? std::format("{} has control characters", printable(text)) : std::string();
}

// Does not quote the value.
std::string problem_of_secret(const std::string& text) {
  return text::trim(text).empty() ? "an empty value" : std::string();
}

std::string problem_of_size(const std::string& text) {
  const auto size = text::parse_number<std::int64_t>(text);
  return size && *size > 0 && *size <= kLargestDisk ? std::string()
                                                    : std::format("{} is not a number of GB", printable(text));
}

std::optional<double> parse_price(const std::string& text) {
  double price = 0;
  return CLI::detail::lexical_cast(text, price) && std::isfinite(price) ? std::optional(price) : std::nullopt;
}

std::string problem_of_price(const std::string& text) {
  const auto price = parse_price(text);
  return price && (*price > 0 || *price == kAnyPrice) ? std::string()
                                                      : std::format("{} is not a price in dollars", printable(text));
}

template <typename Set>
void add(CLI::App& command, const std::string& flag, const std::string& description,
         std::string (*problem)(const std::string&), Set set) {
  command.add_option_function<std::string>(flag, set, description)->check(CLI::Validator(problem, ""))->take_last();
}

void add_word(CLI::App& command, const std::string& flag, const std::string& description, std::string& value) {
  add(command, flag, description, problem_of_word,
      [&value](const std::string& text) { value = std::string(text::trim(text)); });
}

void add_secret(CLI::App& command, const std::string& flag, const std::string& description, Secret& value) {
  add(command, flag, description, problem_of_secret,
      [&value](const std::string& text) { value = Secret(std::string(text::trim(text))); });
}

[[noreturn]] void refuse(const std::string& message) { throw CommandError(exit_status::kBadFlag, message); }

}  // namespace

void add_cloud_flags(CLI::App& command, CloudFlags& flags) {
  add_word(command, "--cloud", "Start the runner on a machine of this cloud (aws, azure, gcp, ...) by a dstack server",
           flags.backend);
  add_word(command, "--cloud-region", "Region of the machine (default: us-west, for aws and azure)", flags.region);
  add_word(command, "--cloud-type", "m, l or xl, or an instance type of the cloud", flags.type);
  add_word(command, "--cloud-gpu",
           "GPU of the machine: nogpu, k80, v100, tesla, or as the server names it (default: nogpu)", flags.gpu);
  add(command, "--cloud-hdd-size", "Disk of the machine in GB", problem_of_size,
      [&flags](const std::string& text) { flags.hdd_size = text::parse_number<std::int64_t>(text); });
  command.add_flag("--cloud-spot", flags.spot, "Take a machine of the spot market");
  add(command, "--cloud-spot-price", "Highest price of a spot machine, in dollars an hour", problem_of_price,
      [&flags](const std::string& text) {
        flags.spot_price = parse_price(text);
        if (flags.spot_price == kAnyPrice) flags.spot_price.reset();
      });
  add_secret(command, kKeyFlag, "Private SSH key, a file or its text: its public half may log in to the machine",
             flags.ssh_private);
  add_secret(command, kScriptFlag, "Script in base64 that runs before the runner, by bash -e", flags.startup_script);
  add_word(command, "--dstack-url", "URL of the dstack server (DSTACK_URL; default: that of ~/.dstack/config.yml)",
           flags.dstack_url);
  add_word(command, "--dstack-project", "Project of the dstack server (DSTACK_PROJECT)", flags.dstack_project);
  add_secret(command, kTokenFlag, "Token of a user of the dstack server (DSTACK_TOKEN)", flags.dstack_token);
}

std::vector<std::string> secret_cloud_flags() { return {kTokenFlag, kKeyFlag, kScriptFlag}; }

std::vector<std::string> check_cloud_flags(const CLI::App& command, const CloudFlags& flags) {
  if (text::has_control(flags.dstack_token.reveal()))
    throw CLI::ValidationError(kTokenFlag, "the token has control characters");
  if (!flags.startup_script.empty() && !text::decode_base64(flags.startup_script.reveal()))
    throw CLI::ValidationError(kScriptFlag, "it is not base64");
  std::vector<std::string> warnings;
  if (flags.is_wanted()) {
    if (flags.spot_price && !flags.spot)
      warnings.emplace_back("--cloud-spot-price means nothing without --cloud-spot and is ignored");
    return warnings;
  }
  for (const CLI::Option* option : command.get_options()) {
    const std::string flag = option->get_name();
    if (option->count() > 0 && (flag.starts_with("--cloud-") || flag.starts_with("--dstack-")) &&
        !option->get_group().empty())
      warnings.push_back(std::format("{} means nothing without --cloud and is ignored", flag));
  }
  return warnings;
}

server_api::Account find_account(const CloudFlags& flags, const std::filesystem::path& cli_file,
                                 const server_api::Environment& environment) {
  const auto given = [&environment](const std::string& flag, const char* variable) -> std::optional<std::string> {
    if (!flag.empty()) return flag;
    const char* value = environment(variable);
    std::string text(value == nullptr ? "" : text::trim(value));
    return text.empty() ? std::nullopt : std::optional(std::move(text));
  };
  const server_api::Given wanted{.token = given(flags.dstack_token.reveal(), "DSTACK_TOKEN"),
                                 .server = given(flags.dstack_url, "DSTACK_URL"),
                                 .project = given(flags.dstack_project, "DSTACK_PROJECT"),
                                 .relay = {},
                                 .name = {}};
  server_api::Settings settings;
  try {
    settings =
        server_api::resolve(wanted, {.own = {}, .cli = cli_file}, [](const char*) -> const char* { return nullptr; });
  } catch (const CommandError& error) {
    refuse(std::format("the dstack server (--dstack-url, --dstack-token): {}", error.what()));
  }
  std::string missing;
  const auto need = [&missing](bool is_there, std::string_view flag) {
    if (!is_there) missing += std::format("{}{}", missing.empty() ? "" : ", ", flag);
  };
  need(settings.server.origin != server_api::kDefaultOrigin, "--dstack-url");
  need(settings.project.origin != server_api::kDefaultOrigin, "--dstack-project");
  need(!settings.token.empty(), kTokenFlag);
  if (!missing.empty()) {
    refuse(std::format("--cloud needs a dstack server: give {}, or configure a default project with `dstack project`",
                       missing));
  }
  return settings.account();
}

server_api::Account find_account(const CloudFlags& flags) {
  return find_account(flags, server_api::find_settings_files().cli, server_api::process_environment);
}

}  // namespace dstack::shim::ci::cloud
