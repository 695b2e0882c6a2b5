#pragma once

namespace dstack::runner::exec {

// The process between the runner and a program that was started in its container: `dstack-runner supervise`. It is the
// reaper of all that comes of the program, in other sessions too, so that a stop finds them and leaves nothing.
//
// Standard input: a line of JSON that says what to start (request.h), then a line for each stop,
// {"signal":15,"grace_ms":5000}. Its end means that the runner has gone: everything is killed.
// Standard output: a line of JSON, {} or {"error":…,"not_executable":bool} if the program could not be started, then
// frames (frames.h). A reader that is slow slows the program.
//
// After the last frame it goes on, without an output, until what the program left behind has ended, and drops what that
// writes. Returns the exit status of the process.
int supervise();

}  // namespace dstack::runner::exec
