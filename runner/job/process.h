#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "common/os/child.h"
#include "common/os/clock.h"
#include "runner/job/job_user.h"
#include "runner/job/terminal.h"

namespace dstack::runner::job {

struct ProcessSpec {
  std::filesystem::path program;         // a path with a slash in it; a relative one counts from the working folder
  std::vector<std::string> arguments;    // [0] is the name it is called by
  std::vector<std::string> environment;  // NAME=value
  std::filesystem::path working_dir;
  JobUser user;
};

using os::ExitStatus;

// The job's first process: the leader of a new session whose controlling terminal is the given one, with signals as a
// fresh program expects them and no descriptor of the runner's. It runs as the user where the container lets the runner
// change users (or else as the runner itself, which is logged), with no limit on locked memory where that may be
// lifted (RDMA needs it).
//
// One thread at a time uses it.
class Process {
 public:
  // Returns when the program runs. Throws Error if it cannot be started: which step failed, on what, and why.
  Process(const ProcessSpec& spec, Terminal& terminal, os::Clock& clock = os::system_clock());

  // Also its session's and its process group's id. The number stays taken until wait().
  pid_t pid() const { return child_.pid(); }
  // Readable once it has ended.
  int ended_fd() const { return child_.ended_fd(); }
  // Takes its status and gives the number back. Nothing if it has not ended, or if a debugger still holds it.
  std::optional<ExitStatus> try_wait() { return child_.try_wait(); }
  // The same, but waits for its end.
  // NOLINTNEXTLINE(bugprone-unchecked-optional-access): there is no deadline that it could miss
  ExitStatus wait() { return child_.wait().value(); }

 private:
  os::Child child_;
};

}  // namespace dstack::runner::job
