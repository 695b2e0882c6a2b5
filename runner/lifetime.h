#pragma once

#include <atomic>
#include <memory>

#include "common/os/clock.h"
#include "common/os/unique_fd.h"
#include "runner/job/executor.h"
#include "runner/logs/logs.h"

namespace dstack::runner {

// Decides when the runner leaves, and does what falls to process 1 of a container meanwhile: reaping orphans and
// listening to signals.
class Lifetime {
 public:
  // `signals` tells SIGCHLD and those that mean "leave". All outlive this object.
  Lifetime(const os::UniqueFd& signals, job::Executor& executor, Logs& logs, os::Clock& clock = os::system_clock());

  // A request has come. From any thread.
  void request_seen();

  // Waits on the main thread (see common/os/reaper.h) until it is time to leave: the job is over and its logs were
  // read, will not be, or have not been asked for in 5 minutes, or a signal came and the job is stopped. Returns the
  // exit status: 0, or 128 and the signal's number if that cut off a job, or came before there was one. Throws Error
  // when 5 minutes brought neither a job nor a request.
  int wait();

 private:
  std::optional<os::SteadyTime> deadline() const;
  void take_signal();
  bool may_leave();
  int exit_status() const;

  const os::UniqueFd& signals_;
  job::Executor& executor_;
  Logs& logs_;
  os::Clock& clock_;
  const std::unique_ptr<os::Timer> timer_;
  std::atomic<os::SteadyTime> last_request_;
  std::optional<os::SteadyTime> over_since_;
  std::optional<int> signal_;        // that asked the runner to leave, the first one
  bool over_before_signal_ = false;  // the job was
};

}  // namespace dstack::runner
