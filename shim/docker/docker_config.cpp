#include "shim/docker/docker_config.h"

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/member.h"
#include "common/os/user_home.h"
#include "common/text/base64.h"

namespace dstack::shim::docker {

namespace {

using dstack::json::text_member;
using nlohmann::json;

// "https://registry.example:5000/v2/" → "registry.example:5000"
std::string_view host_of(std::string_view registry) {
  if (const std::size_t scheme = registry.find("://"); scheme != std::string_view::npos)
    registry.remove_prefix(scheme + 3);
  return registry.substr(0, registry.find('/'));
}

Credentials parse_login(const json& entry) {
  Credentials login{.username = text_member(entry, "username"),
                    .password = Secret(text_member(entry, "password")),
                    .identity_token = Secret(text_member(entry, "identitytoken")),
                    .registry_token = Secret(text_member(entry, "registrytoken"))};
  const auto pair = text::decode_base64(text_member(entry, "auth"));
  if (!pair) return login;
  const std::size_t colon = pair->find(':');
  if (colon == std::string::npos || colon == 0) return login;
  login.username = pair->substr(0, colon);
  // Some clients pad the password with NULs.
  std::string_view password = std::string_view(*pair).substr(colon + 1);
  while (password.ends_with('\0')) password.remove_suffix(1);
  login.password = Secret(std::string(password));
  return login;
}

}  // namespace

const std::string& DockerConfig::helper_for(std::string_view server_address) const {
  const auto found = helpers.find(server_address);
  return found == helpers.end() ? default_helper : found->second;
}

std::optional<Credentials> DockerConfig::find_login(std::string_view server_address) const {
  if (const auto found = logins.find(server_address); found != logins.end()) return found->second;
  for (const auto& [registry, login] : logins) {
    if (host_of(registry) == server_address) return login;
  }
  return std::nullopt;
}

DockerConfig parse_docker_config(std::string_view text) {
  const json document = json::parse(text, nullptr, false);
  if (!document.is_object()) throw Error(ErrorKind::invalid, "it is not a JSON object");
  DockerConfig config{.default_helper = text_member(document, "credsStore")};
  if (const json& logins = dstack::json::member(document, "auths"); logins.is_object()) {
    for (const auto& [registry, entry] : logins.items()) {
      if (Credentials login = parse_login(entry); !login.empty()) config.logins.emplace(registry, std::move(login));
    }
  }
  if (const json& helpers = dstack::json::member(document, "credHelpers"); helpers.is_object()) {
    for (const auto& [registry, helper] : helpers.items()) {
      if (helper.is_string()) config.helpers.emplace(registry, helper.get<std::string>());
    }
  }
  return config;
}

std::filesystem::path docker_config_file() {
  const char* folder = std::getenv("DOCKER_CONFIG");
  if (folder != nullptr && *folder != '\0') return std::filesystem::path(folder) / "config.json";
  return os::user_home() / ".docker/config.json";
}

}  // namespace dstack::shim::docker
