#pragma once

#include "common/os/clock.h"
#include "shim/ci/ci.h"
#include "shim/ci/journal.h"

namespace dstack::shim::ci::cloud {

// Stops the run that a dead launcher's journal names, at the server that it names, with the token that the environment
// or the dstack CLI's file has for that. Throws Error.
void stop_left_run(const Journal& journal, os::Clock& clock, const Patience& patience);

}  // namespace dstack::shim::ci::cloud
