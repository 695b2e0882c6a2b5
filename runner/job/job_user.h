#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "common/os/user_db.h"
#include "runner/job/submission.h"

namespace dstack::runner::job {

// Who the job runs as.
struct JobUser {
  os::UserId uid = 0;
  os::UserId gid = 0;
  std::vector<os::UserId> groups;  // supplementary ones; sorted, each once, the primary one among them
  std::string name;                // the decimal uid where there is no entry
  // An absolute path. "/" also stands for "no home of its own": nothing is written there.
  std::filesystem::path home = "/";

  bool has_home() const { return home != "/"; }
};

// The user that the request names, or root for no request, by the rules of the contract. Throws Error that says what
// was looked for and where.
JobUser find_job_user(const std::optional<UserRequest>& request, const os::UserDatabase& users);

// Root's home folder as /etc/passwd has it, /root without an entry.
std::filesystem::path root_home(const os::UserDatabase& users);

}  // namespace dstack::runner::job
