#include "runner/job/code_setup.h"

#include <format>
#include <system_error>

#include "common/reason.h"
#include "runner/job/files_setup.h"

namespace dstack::runner::job {

Code set_up_code(const Submission& submission, const Prepared& prepared, const files::Uploads& uploads,
                 const std::function<bool()>& stopped, os::Clock& clock) {
  Code code;
  try {
    code.repo = set_up_repo(submission, prepared, uploads, stopped, clock);
  } catch (const std::exception& error) {
    code.failure =
        stopped() ? stopped_state() : setup_error(std::format("Failed to set up the repo ({})", reason_of(error)));
    return code;
  }
  try {
    set_up_files(submission, prepared, code.repo, uploads, stopped);
  } catch (const std::exception& error) {
    code.failure =
        stopped() ? stopped_state() : executor_error(std::format("Failed to set up files ({})", reason_of(error)));
  }
  return code;
}

ClearingUploads::ClearingUploads(files::Uploads& uploads) {
  if (!uploads.empty()) {
    try {
      thread_ = std::jthread([&uploads] { uploads.clear(); });
      return;
    } catch (const std::system_error&) {  // it is done without a thread
    }
  }
  uploads.clear();
}

}  // namespace dstack::runner::job
