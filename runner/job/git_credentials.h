#pragma once

#include <filesystem>
#include <optional>

#include "runner/job/job_user.h"
#include "runner/job/submission.h"

namespace dstack::runner::job {

// The credentials of the job's repo where the job's own git finds them: ~/.config/gh/hosts.yml for https, ~/.ssh/id_rsa
// for ssh. Only if there is no such file already; removed with this object.
class GitCredentials {
 public:
  // Throws Error.
  GitCredentials(const Submission& submission, const JobUser& user);
  GitCredentials(const GitCredentials&) = delete;
  GitCredentials& operator=(const GitCredentials&) = delete;
  ~GitCredentials();

 private:
  const JobUser user_;
  std::optional<std::filesystem::path> written_;
};

}  // namespace dstack::runner::job
