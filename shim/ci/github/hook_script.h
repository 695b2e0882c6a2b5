#pragma once

#include <filesystem>
#include <string>

#include "shim/ci/container_flags.h"

namespace dstack::shim::ci::github {

// The text of the script that ACTIONS_RUNNER_CONTAINER_HOOKS names; the name of its file has to end in ".sh". The agent
// starts it as `bash -e FILE` for everything that concerns a job's containers, and signals it to cancel a step, so the
// script becomes `program`. `state` is the hooks' folder, one for each agent.
std::string hook_script(const std::filesystem::path& program, const std::filesystem::path& state,
                        const ContainerFlags& flags);

}  // namespace dstack::shim::ci::github
