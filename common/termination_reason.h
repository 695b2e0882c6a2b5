#pragma once

namespace dstack::termination_reason {

// Why a task or a job ended: the server's own words, which it compares letter by letter. Other words of the server's
// are passed on as they are.

// Of both programs.
inline constexpr const char* kExecutorError = "executor_error";  // what comes before the job's own process failed
inline constexpr const char* kContainerExitedWithError = "container_exited_with_error";
// The host goes down: a server retries the job where its `on_events` has "interruption".
inline constexpr const char* kInterruptedByNoCapacity = "interrupted_by_no_capacity";

// Of a task.
inline constexpr const char* kCreatingContainerError = "creating_container_error";
inline constexpr const char* kDoneByRunner = "done_by_runner";  // the container exited with status 0
inline constexpr const char* kTerminatedByServer = "terminated_by_server";
inline constexpr const char* kTerminatedByUser = "terminated_by_user";

// Of a job.
inline constexpr const char* kMaxDurationExceeded = "max_duration_exceeded";
inline constexpr const char* kLogQuotaExceeded = "log_quota_exceeded";

}  // namespace dstack::termination_reason
