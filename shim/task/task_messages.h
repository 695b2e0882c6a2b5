#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "common/os/clock.h"
#include "shim/task/live_task.h"

namespace dstack::shim::task {

// What happens on the host and concerns a task, for its job. Both block, on a thread of their own, until it is done or
// cannot be done, which is logged; `stop` ends them. `runner_http_port` is the runner's port inside of containers.

// The host goes down: a running job is stopped with its stages, a CI's launcher is left to stop its own job, anything
// else is terminated. `ending` is what the task ends with.
void interrupt_task(LiveTask& task, const Ending& ending, int runner_http_port, os::Clock& clock,
                    const std::stop_token& stop);

// Puts a line into the runner log of a task with a job, as soon as it has a runner.
void tell_job(LiveTask& task, const std::string& message, int runner_http_port, os::Clock& clock,
              const std::stop_token& stop);

}  // namespace dstack::shim::task
