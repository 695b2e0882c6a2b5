#pragma once

#include <cstdint>

#include "common/os/unique_fd.h"
#include "shim/client/held_runner.h"

namespace dstack::shim::ci::github {

// Runs the program of a step and hands on what it writes; a signal from `signals` (os::block_and_watch()) stops it.
// Returns its exit status as a shell reports it, with a message on stderr if it was not found (127), cannot be executed
// (126) or ran out of memory, of which the container has `memory` bytes. Throws Error.
int run_step(client::HeldRunner& runner, const client::Program& program, std::uint64_t memory,
             const os::UniqueFd& signals);

}  // namespace dstack::shim::ci::github
