#pragma once

#include <optional>
#include <stop_token>
#include <string>

#include "common/os/clock.h"
#include "shim/docker/engine_types.h"

namespace dstack::shim::docker {

// Asks docker-credential-<name>, found through PATH, for the login to a registry; nothing if it has none. It runs with
// this process's environment and is given 30 s. Throws Error: what was tried and how the program ended. No message has
// anything of what may be a secret.
std::optional<Credentials> ask_credential_helper(const std::string& name, const std::string& server_address,
                                                 const std::stop_token& stop, os::Clock& clock = os::system_clock());

}  // namespace dstack::shim::docker
