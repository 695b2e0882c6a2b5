#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "common/os/user_db.h"

namespace dstack::os {

// Gives `path` and all below it to a user and a group. A link is given, never followed, and no folder is entered
// through one: what lies below may have been made by a hostile job. What cannot be given is passed to `failed` as a
// message, and the rest is given. A descriptor is open for each level: raise_descriptor_limit() for deep trees.
void change_owner(const std::filesystem::path& path, UserId uid, UserId gid,
                  const std::function<void(const std::string& message)>& failed);

// Whether `path` or something below it, as far as it can be read, has another owner or group.
bool has_other_owners(const std::filesystem::path& path, UserId uid, UserId gid);

// As many open descriptors as the system lets this process have.
void raise_descriptor_limit();

}  // namespace dstack::os
