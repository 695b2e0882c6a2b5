#include "runner/job/ending.h"

#include <csignal>
#include <format>
#include <utility>

#include "common/exit_status.h"
#include "common/os/signals.h"
#include "common/termination_reason.h"

namespace dstack::runner::job {

namespace {

JobState failed(std::string reason, std::string message, std::optional<int> exit_status = std::nullopt) {
  return {.state = "failed",
          .termination_reason = std::move(reason),
          .termination_message = std::move(message),
          .exit_status = exit_status};
}

JobState state_of_exit(const ExitStatus& exit, bool out_of_memory) {
  if (!exit.signal && exit.code == 0)
    return {.state = "done", .termination_reason = "", .termination_message = "", .exit_status = 0};
  std::string message = exit.signal ? std::format("The job was killed by {}", describe_signal(*exit.signal))
                                    : std::format("The job exited with status {}", exit.code);
  // A shell reports a command that SIGKILL ended as its own status 128 + 9.
  if (out_of_memory && (exit.signal || exit.code == exit_status::of_signal(SIGKILL))) message += ", out of memory";
  JobState state =
      failed(termination_reason::kContainerExitedWithError, std::move(message), exit.signal ? -1 : exit.code);
  state.signal = exit.signal;
  return state;
}

}  // namespace

JobState state_of(const Ended& ended, bool out_of_memory, std::int64_t log_quota_hour) {
  switch (ended.cause) {
    case Ended::Cause::stopped: return stopped_state();
    case Ended::Cause::max_duration:
      return {.state = "terminated",
              .termination_reason = termination_reason::kMaxDurationExceeded,
              .termination_message = "Max duration exceeded",
              .exit_status = std::nullopt};
    case Ended::Cause::log_quota: return log_quota_state(log_quota_hour);
    case Ended::Cause::by_itself: break;
  }
  return state_of_exit(ended.exit, out_of_memory);
}

JobState stopped_state() {
  return {.state = "terminated", .termination_reason = "", .termination_message = "", .exit_status = std::nullopt};
}

JobState interrupted_state(std::string message) {
  return {.state = "terminated",
          .termination_reason = termination_reason::kInterruptedByNoCapacity,
          .termination_message = std::move(message),
          .exit_status = std::nullopt};
}

JobState executor_error(std::string message) { return failed(termination_reason::kExecutorError, std::move(message)); }

JobState executor_error(const CannotExecute& error) {
  JobState state = executor_error(std::string(error.what()));
  state.start_failure = error.reason() == CannotExecute::Reason::not_found ? "not_found" : "not_executable";
  return state;
}

JobState setup_error(std::string message) {
  return failed(termination_reason::kContainerExitedWithError, std::move(message));
}

JobState log_quota_state(std::int64_t log_quota_hour) {
  return failed(termination_reason::kLogQuotaExceeded,
                std::format("Job log output exceeded the hourly quota of {} bytes", log_quota_hour));
}

int exit_status_of(const JobState& end) {
  if (end.signal) return exit_status::of_signal(*end.signal);
  if (end.exit_status) return *end.exit_status;
  if (end.start_failure == "not_found") return exit_status::kCommandNotFound;
  if (end.start_failure == "not_executable") return exit_status::kNotExecutable;
  return end.state == "terminated" ? exit_status::of_signal(SIGINT) : exit_status::kNotRun;
}

std::string describe_signal(int number) { return os::signal_name(number).value_or(std::format("signal {}", number)); }

}  // namespace dstack::runner::job
