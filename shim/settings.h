#pragma once

#include "shim/options.h"
#include "shim/task/launcher.h"

namespace dstack::shim {

// What the command line and the shim's own environment mean for containers.
task::LaunchSettings launch_settings(const Options& options);

}  // namespace dstack::shim
