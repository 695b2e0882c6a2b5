#include "shim/aws/account.h"

#include <format>
#include <nlohmann/json.hpp>
#include <ostream>

#include "common/command_error.h"
#include "common/exit_status.h"
#include "common/json/dump.h"
#include "common/json/member.h"
#include "common/yaml/edit.h"
#include "shim/autoscale/rule.h"
#include "shim/client/text.h"

namespace dstack::shim::aws {

using nlohmann::json;
using nlohmann::ordered_json;
using server_api::Failure;

namespace {

constexpr const char* kType = "aws";
constexpr std::size_t kShownLetters = 4;  // of an access key's ID

std::string joined(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& item : list) text += (text.empty() ? "" : ", ") + item;
  return text;
}

// Those of before with other keys and regions; the type first, as a person would write it.
ordered_json settings_of(const Keys& keys, const std::optional<json>& before) {
  ordered_json settings = {{"type", kType}};
  if (before) {
    for (const auto& [name, value] : before->items()) settings[name] = value;
  }
  settings["regions"] = keys.regions;
  settings["creds"] = {{"type", "access_key"},
                       {"access_key", keys.access_key_id.reveal()},
                       {"secret_key", keys.secret_access_key.reveal()}};
  return settings;
}

// Called while `failure` is handled: throws it again, or one that says more.
[[noreturn]] void explain(const Failure& failure, const Keys* keys) {
  if (failure.is("backend_not_available")) {
    throw CommandError(failure.exit_status(), "the server lacks AWS support: pip install \"dstack[aws]\"");
  }
  if (failure.is("invalid_credentials")) {
    const bool temporary = keys != nullptr && keys->access_key_id.reveal().starts_with("ASIA");
    throw CommandError(
        exit_status::kNoPermission,
        std::format("AWS refuses these keys{}",
                    temporary ? ": they are temporary (ASIA…), the server needs those of an IAM user" : ""));
  }
  if (keys != nullptr && failure.http_status() == 500) {
    throw CommandError(exit_status::kUnavailable,
                       std::format("the server failed; is {} right?", joined(keys->regions)));
  }
  throw;
}

}  // namespace

int AwsAccount::configure(const Keys& keys, bool show_secret) const {
  server_.hide(keys.access_key_id);
  server_.hide(keys.secret_access_key);
  ordered_json settings;
  try {
    const auto before = server_.backend_settings(kType);
    settings = settings_of(keys, before);
    store(settings, !before.has_value());
  } catch (const Failure& failure) {
    explain(failure, &keys);
  }
  out_ << std::format("AWS is configured for project {}: {}\n", server_.account().project, joined(keys.regions))
       << std::flush;
  keep_over_restart(std::move(settings), show_secret);
  return exit_status::kDone;
}

void AwsAccount::store(const ordered_json& settings, bool is_new) const {
  if (is_new) {
    server_.create_backend(settings);
  } else {
    server_.update_backend(settings);
  }
}

void AwsAccount::keep_over_restart(ordered_json settings, bool show_secret) const {
  const std::string& project = server_.account().project;
  const auto outcome = file_.set(project, settings);
  switch (outcome.state) {
    case ServerFile::State::written:
      talk_ << std::format("written to {} too, so that the server keeps it when it restarts\n", file_.name());
      return;
    case ServerFile::State::unchanged: return;
    case ServerFile::State::left: talk_ << std::format("not written: {}\n", outcome.reason); break;
    case ServerFile::State::elsewhere: break;
  }
  talk_ << std::format(
               "The server forgets this at its next start if its configuration file names project {} without it.\n"
               "Add these lines to \"backends\" of the project in {}{}:\n",
               project, file_.name(), show_secret ? "" : " (--show-secret prints the keys in them)")
        << std::flush;
  if (!show_secret) {
    settings["creds"]["access_key"] = "<access key ID>";
    settings["creds"]["secret_key"] = "<secret access key>";
  }
  out_ << yaml::to_yaml_item(settings) << std::flush;
}

int AwsAccount::show(bool as_json) const {
  std::optional<json> settings;
  try {
    settings = server_.backend_settings(kType);
  } catch (const Failure& failure) {
    explain(failure, nullptr);
  }
  if (!settings) {
    throw CommandError(
        exit_status::kConfiguration,
        std::format("AWS is not configured for project {}: dstack-shim aws configure", server_.account().project));
  }
  std::vector<std::string> regions;
  if (const json& found = dstack::json::member(*settings, "regions"); found.is_array()) {
    for (const json& region : found) {
      if (region.is_string()) regions.push_back(region.get<std::string>());
    }
  }
  const std::string key =
      dstack::json::text_member(dstack::json::member(*settings, "creds"), "access_key").substr(0, kShownLetters);
  if (as_json) {
    out_ << dstack::json::dump({{"regions", regions}, {"access_key", key.empty() ? json() : json(key)}}, 2) << "\n";
    return exit_status::kDone;
  }
  out_ << std::format("regions:     {}\naccess key:  {}\n", client::legible(joined(regions)),
                      key.empty() ? "the server's own" : client::legible(key) + "…");
  return exit_status::kDone;
}

int AwsAccount::remove() const {
  const std::string& project = server_.account().project;
  const server_api::Project seen = server_.project();
  const bool configured = seen.backend(kType) != nullptr;
  // A public project answers any user, who is not helped by a command that only its members may use.
  if (!configured) server_.check_membership(seen);
  if (configured) {
    std::string rules;
    for (const autoscale::Rule& rule : autoscale::rules_of(server_.fleets()))
      rules += (rules.empty() ? "" : ", ") + rule.title();
    if (!rules.empty()) {
      throw CommandError(exit_status::kFailed,
                         std::format("there are rules that need it ({}): dstack-shim autoscale remove --all", rules));
    }
    try {
      server_.delete_backend(kType);
    } catch (const Failure& failure) {
      explain(failure, nullptr);
    }
  }
  out_ << std::format("AWS {} project {}\n", configured ? "is removed from" : "is not configured for", project)
       << std::flush;
  forget_over_restart();
  return exit_status::kDone;
}

void AwsAccount::forget_over_restart() const {
  const auto outcome = file_.set(server_.account().project, std::nullopt);
  if (outcome.state == ServerFile::State::written) talk_ << std::format("removed from {} too\n", file_.name());
  if (outcome.state == ServerFile::State::left || outcome.state == ServerFile::State::elsewhere) {
    if (!outcome.reason.empty()) talk_ << std::format("not removed from the file: {}\n", outcome.reason);
    talk_ << std::format(
        "If the server's configuration file ({}) has it too, take it out there, or it comes back when the server "
        "restarts\n",
        file_.name());
  }
}

}  // namespace dstack::shim::aws
