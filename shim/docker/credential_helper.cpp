#include "shim/docker/credential_helper.h"

#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/member.h"
#include "common/os/command.h"
#include "common/text/trim.h"

namespace dstack::shim::docker {

namespace {

constexpr std::chrono::seconds kHelperLimit{30};
// What helpers print, on stdout, where they have no login.
constexpr std::string_view kNoLogin = "credentials not found in native keychain";
// In place of a user's name: the secret is an identity token.
constexpr std::string_view kTokenUser = "<token>";

// It becomes part of a program's name.
bool is_helper_name(std::string_view name) {
  const auto is_usual = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  };
  return !name.empty() && std::ranges::all_of(name, is_usual);
}

// Helpers print the reason of a failure on stdout, where the login would be.
std::string reason_of(const os::CommandResult& result) {
  const std::string_view output = text::trim(result.output);
  if (!result.errors.empty() || output.empty() || output.contains('{')) return result.describe();
  return std::format("{}: {}", result.describe(), printable(output.substr(0, output.find('\n'))));
}

}  // namespace

std::optional<Credentials> ask_credential_helper(const std::string& name, const std::string& server_address,
                                                 const std::stop_token& stop, os::Clock& clock) {
  if (!is_helper_name(name))
    throw Error(ErrorKind::invalid, std::format("invalid name of a credential helper: {}", printable(name)));
  const std::string program = "docker-credential-" + name;
  const std::string attempt = std::format("ask {} for the login to {}", program, printable(server_address));
  const os::CommandResult result =
      os::run_command({.arguments = {program, "get"}, .input = server_address, .limit = kHelperLimit}, stop, clock);
  if (result.end == os::CommandResult::End::cancelled) throw Error(ErrorKind::cancelled, attempt + ": cancelled");
  if (text::trim(result.output) == kNoLogin) return std::nullopt;
  if (!result.succeeded()) throw Error(ErrorKind::unavailable, std::format("{}: {}", attempt, reason_of(result)));
  const nlohmann::json answer = nlohmann::json::parse(result.output, nullptr, false);
  Credentials login{.username = dstack::json::text_member(answer, "Username"),
                    .password = Secret(dstack::json::text_member(answer, "Secret"))};
  if (login.password.empty()) throw Error(ErrorKind::unavailable, attempt + ": the answer has no secret");
  if (login.username == kTokenUser) std::swap(login.identity_token, login.password);
  return login;
}

}  // namespace dstack::shim::docker
