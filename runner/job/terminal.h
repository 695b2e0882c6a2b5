#pragma once

#include "common/os/unique_fd.h"
#include "common/os/user_db.h"

namespace dstack::runner::job {

// A pseudo-terminal of 24 lines and 80 columns. The job's side is kept open here as well, until close_job_side(): so
// reading the other side finds no false end while no process happens to have it open (one that is to open /dev/tty
// again, say).
//
// One thread reads from output(); all other members belong to the thread that owns the terminal.
class Terminal {
 public:
  // Throws Error.
  Terminal();

  // Our side; reading and writing never block.
  int output() const { return ours_.get(); }
  int job_side() const { return jobs_.get(); }

  // Gives the job's side to the user who is to use it.
  void give_to(os::UserId user);

  // What typing Ctrl-C does: the terminal's interrupt character goes in, with what the job has written meanwhile kept.
  // Where it cannot go in, or the terminal has none, the foreground processes get the signal directly.
  void interrupt();

  // From then on output() tells the end (EIO) once no process has the terminal open.
  void close_job_side() { jobs_.reset(); }

 private:
  os::UniqueFd ours_;
  os::UniqueFd jobs_;
};

}  // namespace dstack::runner::job
