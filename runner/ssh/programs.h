#pragma once

#include <filesystem>

namespace dstack::runner::ssh {

// Writes the SSH server's programs, which the runner carries with it, into `folder` (made if it is not there): sshd,
// and as links to it sshd-session, sshd-auth, ssh-keygen and no-shell. Throws Error.
void unpack_programs(const std::filesystem::path& folder);

}  // namespace dstack::runner::ssh
