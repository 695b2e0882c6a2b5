#pragma once

#include <functional>
#include <optional>
#include <thread>

#include "common/os/clock.h"
#include "runner/files/uploads.h"
#include "runner/job/ending.h"
#include "runner/job/repo_setup.h"

namespace dstack::runner::job {

// What the job works on: its repo and files, or why they are not there.
struct Code {
  Repo repo;
  std::optional<JobState> failure;
};

// Puts the repo and then the files into place. `stopped` ends it early. Does not throw: a failure is the job's end.
Code set_up_code(const Submission& submission, const Prepared& prepared, const files::Uploads& uploads,
                 const std::function<bool()>& stopped, os::Clock& clock);

// Removes what was uploaded while the job runs: a large file takes a while. Waits for it in the destructor.
class ClearingUploads {
 public:
  explicit ClearingUploads(files::Uploads& uploads);

 private:
  std::jthread thread_;
};

}  // namespace dstack::runner::job
