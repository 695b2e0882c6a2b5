#pragma once

#include <stop_token>
#include <string>

#include "common/os/clock.h"

namespace dstack::shim::task {

// How far a runner's job was when it was stopped.
enum class JobProgress { waiting, running, over };

// What the shim itself says to the runner of a task, at its port on 127.0.0.1. Both take a few seconds at most and
// throw Error if the runner does not answer or refuses. From any thread.

// Stops the job with its stages since the host goes down, which the end of the job then says, with `message`. A runner
// that does not know of this (the Go runner) just stops its job, and counts as having run it.
JobProgress interrupt_job(int port, const std::string& message, const std::stop_token& stop,
                          os::Clock& clock = os::system_clock());

// Puts a line into the runner log. False if the runner does not know of this.
bool add_to_runner_log(int port, const std::string& message, const std::stop_token& stop,
                       os::Clock& clock = os::system_clock());

}  // namespace dstack::shim::task
