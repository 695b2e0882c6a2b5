#pragma once

#include "common/os/user_db.h"
#include "runner/options.h"

namespace dstack::runner {

// Makes the container ready for a runner: checks that it is root, puts HOME right, makes /dstack (0755, root's) and an
// empty /dstack/ssh with the authorized keys in it. Call it before any thread starts. Throws Error.
void prepare_container(const Options& options, const os::UserDatabase& users = os::UserDatabase());

// The same as far as a runner needs it that holds its container, without /dstack.
void prepare_held_container(const os::UserDatabase& users = os::UserDatabase());

}  // namespace dstack::runner
