#pragma once

#include <sys/types.h>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/os/clock.h"
#include "common/os/user_db.h"
#include "runner/files/uploads.h"
#include "runner/job/job_user.h"
#include "runner/job/profile.h"
#include "runner/job/setup_thread.h"
#include "runner/job/submission.h"
#include "runner/job/supervision.h"
#include "runner/logs/logs.h"

namespace dstack::runner::job {

// Where in the container a job's run leaves things. Tests put other places.
struct RunPlaces {
  std::filesystem::path mpi_hostfile = "/dstack/mpi/hostfile";
  std::filesystem::path authorized_keys = "/dstack/ssh/conf/authorized_keys";
  ProfilePlaces profile;
  int ssh_port = 10022;
  // Why nobody can log in, if so: told in the job's logs, since it happened before there were any.
  std::function<std::optional<std::string>()> ssh_problem = [] { return std::optional<std::string>{}; };
};

// Who runs the job and where: what /api/run answers.
struct Prepared {
  JobUser user;
  std::filesystem::path working_dir;
};

// Works that out, without changing anything. Takes no time to speak of. Throws Error with the message of the failed
// state.
Prepared prepare_run(const Submission& submission, const os::UserDatabase& users);

// Runs the job from the first folder made to the last process gone, on the calling thread. The state "running" and all
// output are in the logs when it returns; the state that ends the job is the answer. Never throws. Code and files come
// on `setup`, and a stop does not wait for them: all that is passed outlives it.
JobState run_job(const Submission& submission, const Prepared& prepared, const RunPlaces& places,
                 const Supervision::Events& events, files::Uploads& uploads, SetupThread& setup, Logs& logs,
                 os::Clock& clock) noexcept;

}  // namespace dstack::runner::job
