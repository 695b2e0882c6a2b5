#pragma once

#include <string>

#include "common/os/user_db.h"
#include "shim/client/held_runner.h"

namespace dstack::shim::ci::github {

// For an agent that is not root: its folders are given back to it by the root of a container that has them as a mount.

// A line on stderr for what failed and holds nothing up.
void warn(const std::string& message);

// Gives `folder` in the container and all below it to a user. What cannot be given is warned of. Throws Error.
void change_owner_in(client::HeldRunner& runner, const std::string& folder, os::UserId uid, os::UserId gid);

}  // namespace dstack::shim::ci::github
