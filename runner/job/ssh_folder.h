#pragma once

#include <filesystem>

#include "runner/job/job_user.h"

namespace dstack::runner::job {

// The user's ~/.ssh as ssh wants it: the user's own, closed to others. Made if it is not there. Throws Error.
std::filesystem::path prepare_ssh_folder(const JobUser& user);

}  // namespace dstack::runner::job
