#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/secret.h"

namespace dstack::shim::ci {

struct RegistryLogin {
  std::string registry;  // as it was given, "registry.example:5000" or a URL
  std::string username;
  Secret password;
};

// The one for the registry of this image. Throws Error (invalid) for what is not an image's name.
std::optional<RegistryLogin> find_login(const std::vector<RegistryLogin>& logins, std::string_view image);

// The logins in a configuration of Docker's ({"auths":{"registry":{"auth":…}}}); those that cannot be read are left
// out.
std::vector<RegistryLogin> parse_docker_config(std::string_view text);

}  // namespace dstack::shim::ci
