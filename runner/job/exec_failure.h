#pragma once

#include "runner/job/process.h"

namespace dstack::runner::job {

// Why execve(2) failed with `code`, in terms that help: which variable is too long, which machine the program is for,
// which interpreter is missing. Throws CannotExecute where the program is at fault, else Error.
[[noreturn]] void throw_exec_failure(int code, const ProcessSpec& spec);

}  // namespace dstack::runner::job
