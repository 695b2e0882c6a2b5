#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "shim/docker/engine_types.h"

namespace dstack::shim::docker {

// Logins in the configuration of Docker's command line, config.json. Registries are named as they are written there:
// a host, "host:5000", a URL, or Docker Hub's "https://index.docker.io/v1/".
struct DockerConfig {
  std::map<std::string, Credentials, std::less<>> logins;   // "auths"
  std::string default_helper;                               // "credsStore"; empty: none
  std::map<std::string, std::string, std::less<>> helpers;  // "credHelpers": a helper by registry

  // The name of the program that has the login for this registry, without "docker-credential-"; empty: `logins` has it.
  const std::string& helper_for(std::string_view server_address) const;
  // As Docker chooses: the entry of that name, else one whose URL has that host.
  std::optional<Credentials> find_login(std::string_view server_address) const;
};

// An entry that cannot be read is left out. Throws Error (invalid) for what is not a JSON object; the message has
// nothing of the text.
DockerConfig parse_docker_config(std::string_view text);

// In the folder that DOCKER_CONFIG names, else in ~/.docker.
std::filesystem::path docker_config_file();

}  // namespace dstack::shim::docker
