#pragma once

#include <list>
#include <map>
#include <memory>
#include <string>

#include "common/http/message.h"
#include "common/os/child.h"
#include "common/os/clock.h"
#include "common/os/mutex.h"
#include "runner/exec/request.h"

namespace dstack::runner::exec {

// The programs that were started through the API. From any thread.
class Executions {
 public:
  explicit Executions(os::Clock& clock = os::system_clock()) : clock_(clock) {}
  Executions(const Executions&) = delete;
  Executions& operator=(const Executions&) = delete;
  // No answer is being written any more.
  ~Executions() = default;

  // Starts a program; the answer's body is its frames, to the end. Whoever stops reading it makes the program stop.
  // Throws Error (conflict) while a program of this id runs or after end_all(); NoSuchProgram.
  http::Response start(const ExecSpec& spec);

  // Throws Error (not_found) if no program of this id runs.
  void stop(const std::string& id, const StopRequest& request);

  // Ends everything that was started and all that came of it: SIGTERM, 5 s, SIGKILL. Nothing is started after it.
  void end_all();

 private:
  // A program that runs: the process that supervises it.
  class Running;

  void relay(Running& running, const http::BodySink& sink);
  void forget(const Running& running);
  void keep(os::Child supervisor);

  os::Clock& clock_;
  os::Mutex mutex_;
  bool ended_ DSTACK_GUARDED_BY(mutex_) = false;
  std::map<std::string, std::shared_ptr<Running>> running_ DSTACK_GUARDED_BY(mutex_);
  // Of programs that have ended and left something behind.
  std::list<os::Child> left_ DSTACK_GUARDED_BY(mutex_);
};

}  // namespace dstack::runner::exec
