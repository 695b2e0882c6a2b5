#pragma once

#include <functional>

#include "runner/files/uploads.h"
#include "runner/job/job_run.h"
#include "runner/job/repo_setup.h"
#include "runner/job/submission.h"

namespace dstack::runner::job {

// Puts each of the job's archives at its path, in their order. Throws Error that names the path.
void set_up_files(const Submission& submission, const Prepared& prepared, const Repo& repo,
                  const files::Uploads& uploads, const std::function<bool()>& stopped);

}  // namespace dstack::runner::job
