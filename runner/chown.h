#pragma once

#include <filesystem>

#include "common/os/user_db.h"

namespace dstack::runner {

// `dstack-runner chown UID:GID PATH`, for images that have no such program.
struct ChownCommand {
  os::UserId uid = 0;
  os::UserId gid = 0;
  std::filesystem::path path;
};

// Gives `path` and all below it to the user and the group; a link is given, never followed, and no folder is entered
// through one. What cannot be given is reported on stderr, and skipped. Returns the exit status: 0, or 1 if anything
// failed.
int run_chown(const ChownCommand& command);

}  // namespace dstack::runner
