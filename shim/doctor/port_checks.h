#pragma once

#include <optional>

#include "shim/doctor/check.h"

namespace dstack::shim::doctor {

// The shim's own port: free, or a dstack-shim answers on it.
Finding check_shim_port(const Host& host);

// The runner's two ports, which tasks in the host's network take.
Finding check_runner_ports(const Host& host);

// Who listens on this TCP port at 127.0.0.1, by the tables below `proc`: its name and process, as "nginx (4711)". A
// text that says so if that cannot be told, as of another user's process; nothing if nobody listens.
std::optional<std::string> who_listens(const std::filesystem::path& proc, int port);

}  // namespace dstack::shim::doctor
