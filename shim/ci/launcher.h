#pragma once

#include "common/os/unique_fd.h"
#include "shim/ci/launcher_flags.h"

namespace dstack::shim::ci {

// `dstack-shim ci-runner`: from the command line to the exit status. Throws CommandError (2) before it has asked
// anybody anything. Called before any thread is started.
int run_launcher(const LauncherFlags& flags);

}  // namespace dstack::shim::ci
