#pragma once

#include <memory>

#include "runner/join/places.h"
#include "runner/join/state.h"
#include "runner/ssh/server.h"

namespace dstack::runner::join {

// The port of the SSH server that a joined host has for its dstack server.
inline constexpr int kLoginPort = 10023;

// The SSH server by which the dstack server comes in: the one that this program carries, for root and keys alone. It
// ends with this object. Throws Error if it cannot be started.
std::unique_ptr<ssh::Server> start_login(const Places& places, const State& state, os::Clock& clock);

}  // namespace dstack::runner::join
