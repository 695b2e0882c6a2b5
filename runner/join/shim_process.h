#pragma once

#include "runner/join/places.h"

namespace dstack::runner::join {

// Restarts dstack-shim.service if the shim that runs is another program than the one in place, and no task is on its
// way to its container: a restart would end it. False if it has to be looked at again. What goes wrong is logged.
bool restart_other_shim(const Places& places);

}  // namespace dstack::runner::join
