#include "shim/ci/registry_login.h"

#include <algorithm>

#include "common/error.h"
#include "common/text/letter_case.h"
#include "shim/docker/docker_config.h"
#include "shim/docker/image_reference.h"

namespace dstack::shim::ci {

namespace {

// "https://Registry.example:5000/v2/" → "registry.example:5000". Docker Hub has many names.
std::string host_of(std::string_view registry) {
  if (const std::size_t scheme = registry.find("://"); scheme != std::string_view::npos)
    registry.remove_prefix(scheme + 3);
  const std::string host = text::lower_case(registry.substr(0, registry.find('/')));
  constexpr std::string_view kHub = "docker.io";
  return host == kHub || host.ends_with(".docker.io") ? std::string(kHub) : host;
}

}  // namespace

std::optional<RegistryLogin> find_login(const std::vector<RegistryLogin>& logins, std::string_view image) {
  const std::string host = host_of(docker::parse_image_reference(image).server_address());
  const auto found =
      std::ranges::find(logins, host, [](const RegistryLogin& login) { return host_of(login.registry); });
  return found == logins.end() ? std::nullopt : std::optional(*found);
}

std::vector<RegistryLogin> parse_docker_config(std::string_view text) {
  std::vector<RegistryLogin> logins;
  try {
    for (const auto& [registry, login] : docker::parse_docker_config(text).logins) {
      if (!login.username.empty())
        logins.push_back({.registry = registry, .username = login.username, .password = login.password});
    }
  } catch (const std::exception&) {
    return {};
  }
  return logins;
}

}  // namespace dstack::shim::ci
