#include "shim/client/task_details.h"

#include <csignal>

#include "common/exit_status.h"

namespace dstack::shim::client {

int exit_status_of(const TaskDetails& details) {
  if (details.exit_code) return *details.exit_code;
  if (details.start_failure == "not_found") return exit_status::kCommandNotFound;
  if (details.start_failure == "not_executable") return exit_status::kNotExecutable;
  return details.ended_in == "running" ? exit_status::of_signal(SIGKILL) : exit_status::kNotRun;
}

}  // namespace dstack::shim::client
