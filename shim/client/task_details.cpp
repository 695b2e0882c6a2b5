#include "shim/client/task_details.h"

#include <csignal>

#include "common/exit_status.h"

namespace dstack::shim::client {

int exit_status_of(std::optional<int> exit_code, std::string_view start_failure, std::string_view ended_in) {
  if (exit_code) return *exit_code;
  if (start_failure == "not_found") return exit_status::kCommandNotFound;
  if (start_failure == "not_executable") return exit_status::kNotExecutable;
  return ended_in == "running" ? exit_status::of_signal(SIGKILL) : exit_status::kNotRun;
}

int exit_status_of(const TaskDetails& details) {
  return exit_status_of(details.exit_code, details.start_failure, details.ended_in);
}

}  // namespace dstack::shim::client
