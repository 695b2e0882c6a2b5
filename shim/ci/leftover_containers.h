#pragma once

#include <string>

#include "shim/ci/work_folder.h"

namespace dstack::shim::ci {

// Removes the containers that jobs have left at a shim which is not the launcher's own: those of all jobs that the
// drivers have noted in this folder. `ci` is the CI's URL. Problems are logged: the shim ends tasks whose owner has
// gone.
void remove_leftover_containers(const WorkFolder& folder, const std::string& ci, int shim_port);

}  // namespace dstack::shim::ci
