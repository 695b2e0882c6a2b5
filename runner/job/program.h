#pragma once

#include <filesystem>
#include <string>

#include "runner/job/environment.h"

namespace dstack::runner::job {

// The file that `name` stands for. With a slash in it, it is itself; otherwise the first executable file of that name
// in the folders of the container's PATH, or of the usual ones where PATH is absent. Relative folders in PATH are
// passed over: where they lead depends on who looks. Throws Error that names it and says why there is none.
std::filesystem::path find_program(const std::string& name, const Environment& container);

}  // namespace dstack::runner::job
