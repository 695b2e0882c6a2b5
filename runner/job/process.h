#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/os/process_watch.h"
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

struct ExitStatus {
  int code = 0;               // of a process that exited
  std::optional<int> signal;  // that ended it
};

// The job's first process: the leader of a new session whose controlling terminal is the given one, with signals as a
// fresh program expects them and no descriptor of the runner's. It runs as the user where the container lets the runner
// change users (or else as the runner itself, which is logged), with no limit on locked memory where that may be
// lifted (RDMA needs it).
//
// All members belong to one thread, which must live until the process has been waited for.
class Process {
 public:
  // Returns when the program runs. Throws Error if it cannot be started: which step failed, on what, and why.
  Process(const ProcessSpec& spec, Terminal& terminal);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  // Kills it if it has not been waited for, and gives the kernel a moment to let go of it.
  ~Process();

  // Also its session's and its process group's id. The number stays taken until wait().
  pid_t pid() const { return pid_; }
  // Readable once it has ended.
  int ended_fd() const { return watch_->fd(); }
  // Takes its status and gives the number back; blocks until it has ended. Once.
  ExitStatus wait();

 private:
  pid_t pid_ = -1;
  bool waited_ = false;
  std::unique_ptr<os::ProcessWatch> watch_;  // always there once the constructor has returned
};

}  // namespace dstack::runner::job
