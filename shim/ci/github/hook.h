#pragma once

#include <filesystem>

#include "shim/ci/container_flags.h"

namespace CLI {
class App;
}

namespace dstack::shim::ci::github {

// dstack-shim ci github-hook: what an Actions agent calls for a job's containers. What it wants is a line of JSON on
// standard input.
struct HookOptions {
  std::filesystem::path state;  // a folder, one for each agent
  ContainerFlags containers;
};

CLI::App* add_hook_command(CLI::App& ci, HookOptions& options);

// Returns the exit status: that of the step's program, as a shell reports it; 0; or 1 with a message on stderr.
// Anything but 0 fails the step.
int run_hook(const HookOptions& options);

}  // namespace dstack::shim::ci::github
