#pragma once

#include <string>
#include <vector>

#include "runner/join/places.h"
#include "runner/join/state.h"

namespace dstack::runner::join {

// What the host lacks for being a runner, each with the command that fixes it; empty if nothing. Changes nothing.
// `port`: of the SSH server to come. `rejoins`: whether this host is a runner already, which has that port then.
std::vector<std::string> missing_on_host(const Places& places, WayIn way_in, int port, bool rejoins);

}  // namespace dstack::runner::join
