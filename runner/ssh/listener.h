#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "common/os/process_watch.h"
#include "runner/ssh/server_config.h"

namespace dstack::runner::ssh {

// A running sshd that listens, or is about to. It belongs to the thread that made it.
class Listener {
 public:
  // `announcement`: a variable of its environment by which it tells that it listens. Throws Error.
  Listener(const ServerPlaces& places, const std::string& announcement);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  // Ends it; the sessions it has begun go on.
  ~Listener();

  pid_t pid() const { return pid_; }
  // Readable once it has ended.
  int ended_fd() const { return watch_->fd(); }
  // Once it has ended: how, and its last words.
  std::string describe_end();

 private:
  int wait();

  const ServerPlaces places_;
  pid_t pid_ = -1;
  std::unique_ptr<os::ProcessWatch> watch_;  // always there once the constructor has returned
  std::optional<int> status_;                // once it was waited for
};

}  // namespace dstack::runner::ssh
