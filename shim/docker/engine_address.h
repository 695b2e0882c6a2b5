#pragma once

#include <functional>
#include <optional>
#include <string>

#include "common/http/client.h"

namespace dstack::shim::docker {

// Where the engine is, from DOCKER_HOST, DOCKER_CERT_PATH, DOCKER_TLS_VERIFY and DOCKER_API_VERSION.
struct EngineAddress {
  http::Endpoint endpoint;
  std::string name;         // for messages: "unix:///var/run/docker.sock"
  std::string api_version;  // "1.44"; empty: to be negotiated
};

// Reads one environment variable; nothing for one that is not set.
using Environment = std::function<std::optional<std::string>(const char* name)>;

// An empty variable counts as unset. Without DOCKER_HOST: unix:///var/run/docker.sock. Throws Error (invalid) that
// names the variable for a scheme other than unix:// and tcp://, a host without a port, or a version that is no
// version.
EngineAddress engine_address(const Environment& environment);

// The same from the process's own environment.
EngineAddress engine_address();

// The address of a Unix socket, as if DOCKER_HOST named it.
EngineAddress engine_at_socket(const std::string& path);

}  // namespace dstack::shim::docker
