#pragma once

#include <filesystem>
#include <functional>

#include "common/os/clock.h"
#include "runner/files/uploads.h"
#include "runner/job/job_run.h"
#include "runner/job/submission.h"

namespace dstack::runner::job {

struct Repo {
  std::filesystem::path folder;  // where the job finds its code, by its variables
  bool set_up = false;           // not so where the folder's own content was left alone, or there was no code
};

// Puts the job's code into its folder, by the rules of the contract: a clone with the uploaded diff, or the uploaded
// archive. Afterwards all of it belongs to the job's user. `stopped` ends it early. Throws Error.
Repo set_up_repo(const Submission& submission, const Prepared& prepared, const files::Uploads& uploads,
                 const std::function<bool()>& stopped, os::Clock& clock);

}  // namespace dstack::runner::job
