#include "runner/job/ending.h"

#include <catch2/catch_test_macros.hpp>
#include <csignal>

namespace dstack::runner::job {

namespace {

Ended exited(int code) { return {.cause = Ended::Cause::by_itself, .exit = {.code = code, .signal = {}}}; }
Ended killed(int signal) { return {.cause = Ended::Cause::by_itself, .exit = {.code = -1, .signal = signal}}; }

}  // namespace

TEST_CASE("exit status 0 is done") {
  const JobState state = state_of(exited(0), false, 0);
  CHECK(state.state == "done");
  CHECK(state.termination_reason.empty());
  CHECK(state.exit_status == 0);
}

TEST_CASE("another exit status is a failure with that status") {
  const JobState state = state_of(exited(3), false, 0);
  CHECK(state.state == "failed");
  CHECK(state.termination_reason == "container_exited_with_error");
  CHECK(state.termination_message == "The job exited with status 3");
  CHECK(state.exit_status == 3);
}

TEST_CASE("a signal is a failure with its name") {
  const JobState state = state_of(killed(SIGSEGV), false, 0);
  CHECK(state.state == "failed");
  CHECK(state.termination_reason == "container_exited_with_error");
  CHECK(state.termination_message == "The job was killed by SIGSEGV");
  CHECK(state.exit_status == -1);
  CHECK(state_of(killed(40), false, 0).termination_message == "The job was killed by SIGRTMIN+6");
}

TEST_CASE("a want of memory is named where it was the end, by way of a shell too") {
  CHECK(state_of(killed(SIGKILL), true, 0).termination_message == "The job was killed by SIGKILL, out of memory");
  CHECK(state_of(exited(137), true, 0).termination_message == "The job exited with status 137, out of memory");
  CHECK(state_of(exited(1), true, 0).termination_message == "The job exited with status 1");
  CHECK(state_of(exited(0), true, 0).state == "done");
}

TEST_CASE("a stopped job is terminated, whatever its exit status") {
  const JobState state = state_of({.cause = Ended::Cause::stopped, .exit = {.code = 1, .signal = {}}}, false, 0);
  CHECK(state.state == "terminated");
  CHECK(state.termination_reason.empty());
  CHECK_FALSE(state.exit_status);
}

TEST_CASE("the end of the maximum duration is named") {
  const JobState state = state_of({.cause = Ended::Cause::max_duration, .exit = {}}, false, 0);
  CHECK(state.state == "terminated");
  CHECK(state.termination_reason == "max_duration_exceeded");
  CHECK(state.termination_message == "Max duration exceeded");
  CHECK_FALSE(state.exit_status);
}

TEST_CASE("an exceeded log quota is named with its size") {
  const JobState state = state_of({.cause = Ended::Cause::log_quota, .exit = {}}, false, 1000);
  CHECK(state.state == "failed");
  CHECK(state.termination_reason == "log_quota_exceeded");
  CHECK(state.termination_message == "Job log output exceeded the hourly quota of 1000 bytes");
}

TEST_CASE("the end of a job as a shell reports it") {
  const auto of_exit = [](int code, std::optional<int> signal = std::nullopt) {
    return exit_status_of(
        state_of({.cause = Ended::Cause::by_itself, .exit = {.code = code, .signal = signal}}, false, 0));
  };
  CHECK(of_exit(0) == 0);
  CHECK(of_exit(3) == 3);
  CHECK(of_exit(-1, SIGTERM) == 128 + SIGTERM);
  CHECK(exit_status_of(stopped_state()) == 128 + SIGINT);
  CHECK(exit_status_of(executor_error("no user")) == 125);
  JobState absent = executor_error("no such file");
  absent.start_failure = "not_found";
  CHECK(exit_status_of(absent) == 127);
  absent.start_failure = "not_executable";
  CHECK(exit_status_of(absent) == 126);
}

}  // namespace dstack::runner::job
