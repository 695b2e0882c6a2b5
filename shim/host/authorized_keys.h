#pragma once

#include "shim/host/key_lines.h"
#include "shim/host/user_identity.h"

namespace dstack::shim::host {

// Changes our lines in a user's ~/.ssh/authorized_keys. The file is made if it is absent (folder 0700, file 0600, the
// user's); else it is locked, the new content written aside, flushed and renamed over it, owner and mode kept.
// Everything is done with the user's own file access; a ~/.ssh that is root's own, with root's. Throws Error; the file
// is then as it was. Taking keys away from a file that the user's own rights do not reach leaves them there. Blocks,
// for 5 s at most if another holds the lock.
void change_our_keys(const User& user, const KeyChange& change);

// Whether the user's file has lines of ours with other keys than these; false too where it cannot be read.
bool has_our_keys(const User& user, const std::vector<std::string>& but = {});

}  // namespace dstack::shim::host
