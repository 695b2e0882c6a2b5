#pragma once

#include <functional>
#include <string>

#include "common/os/user_db.h"

namespace dstack::shim::host {

using User = os::UserEntry;

// Looks a user of this host up, in /etc/passwd and then by `getent`, which asks the directory services. Throws Error:
// not_found, or unavailable if a directory service does not answer within ten seconds.
User find_user(const std::string& name);

// Runs `work` on a thread of its own whose file accesses are this user's, not root's, and waits for it: whatever links
// lie in the user's folders lead no further than the user gets alone. An exception comes out as it is. Where the
// process is not root it runs with the process's own ids.
void with_file_access_of(const User& user, const std::function<void()>& work);

// For use inside of `work`: calls `act` with root's file access, for a change of owner that the user may not do alone.
void as_root(const User& user, const std::function<void()>& act);

}  // namespace dstack::shim::host
