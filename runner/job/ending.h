#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "runner/job/program.h"
#include "runner/job/supervision.h"
#include "runner/logs/logs.h"

namespace dstack::runner::job {

// The states that end a job, one for each line of the contract's table of ends.

// `out_of_memory`: the kernel killed a process of the container for want of memory while the job ran.
JobState state_of(const Ended& ended, bool out_of_memory, std::int64_t log_quota_hour);

JobState stopped_state();
JobState interrupted_state(std::string message);  // the host goes down
// Anything that kept the job from running.
JobState executor_error(std::string message);
JobState executor_error(const CannotExecute& error);
JobState setup_error(std::string message);  // of the repo
JobState log_quota_state(std::int64_t log_quota_hour);

// The job's end as a shell reports it: 128 + n for a signal, 126 or 127 for a command that could not be executed, 125
// for a job that could not be run.
int exit_status_of(const JobState& end);

// "SIGKILL"; "signal 40" for one without a name.
std::string describe_signal(int number);

}  // namespace dstack::runner::job
