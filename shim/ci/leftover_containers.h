#pragma once

#include <filesystem>
#include <string>

namespace dstack::shim::ci {

// Removes the containers that jobs have left at a shim which is not the launcher's own: those of all jobs that the
// drivers have noted in `state`. `ci` is the CI's URL. Problems are logged: the shim ends tasks whose owner has gone.
void remove_leftover_containers(const std::filesystem::path& state, const std::string& ci, int shim_port);

}  // namespace dstack::shim::ci
