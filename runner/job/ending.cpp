#include "runner/job/ending.h"

#include <csignal>
#include <format>
#include <utility>

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
  std::string message = exit.signal ? std::format("The job was killed by {}", signal_name(*exit.signal))
                                    : std::format("The job exited with status {}", exit.code);
  // A shell reports a command that SIGKILL ended as its own status 128 + 9.
  if (out_of_memory && (exit.signal || exit.code == 128 + SIGKILL)) message += ", out of memory";
  return failed("container_exited_with_error", std::move(message), exit.signal ? -1 : exit.code);
}

}  // namespace

JobState state_of(const Ended& ended, bool out_of_memory, std::int64_t log_quota_hour) {
  switch (ended.cause) {
    case Ended::Cause::stopped: return stopped_state();
    case Ended::Cause::max_duration:
      return {.state = "terminated",
              .termination_reason = "max_duration_exceeded",
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

JobState executor_error(std::string message) { return failed("executor_error", std::move(message)); }

JobState executor_error(const CannotExecute& error) {
  JobState state = executor_error(std::string(error.what()));
  state.start_failure = error.reason() == CannotExecute::Reason::not_found ? "not_found" : "not_executable";
  return state;
}

JobState setup_error(std::string message) { return failed("container_exited_with_error", std::move(message)); }

JobState log_quota_state(std::int64_t log_quota_hour) {
  return failed("log_quota_exceeded",
                std::format("Job log output exceeded the hourly quota of {} bytes", log_quota_hour));
}

std::string signal_name(int number) {
  switch (number) {
    case SIGHUP: return "SIGHUP";
    case SIGINT: return "SIGINT";
    case SIGQUIT: return "SIGQUIT";
    case SIGILL: return "SIGILL";
    case SIGTRAP: return "SIGTRAP";
    case SIGABRT: return "SIGABRT";
    case SIGBUS: return "SIGBUS";
    case SIGFPE: return "SIGFPE";
    case SIGKILL: return "SIGKILL";
    case SIGUSR1: return "SIGUSR1";
    case SIGSEGV: return "SIGSEGV";
    case SIGUSR2: return "SIGUSR2";
    case SIGPIPE: return "SIGPIPE";
    case SIGALRM: return "SIGALRM";
    case SIGTERM: return "SIGTERM";
    case SIGVTALRM: return "SIGVTALRM";
    case SIGPROF: return "SIGPROF";
    case SIGXCPU: return "SIGXCPU";
    case SIGXFSZ: return "SIGXFSZ";
    case SIGIO: return "SIGIO";
    case SIGPWR: return "SIGPWR";
    case SIGSYS: return "SIGSYS";
    default: return std::format("signal {}", number);
  }
}

}  // namespace dstack::runner::job
