#pragma once

#include <sys/types.h>

#include <string>

#include "common/os/child.h"
#include "common/os/clock.h"
#include "runner/ssh/server_config.h"

namespace dstack::runner::ssh {

// A running sshd that listens, or is about to. One thread at a time uses it.
class Listener {
 public:
  // `announcement`: a variable of its environment by which it tells that it listens. Throws Error.
  Listener(const ServerPlaces& places, const std::string& announcement, os::Clock& clock);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  // Ends it; the sessions it has begun go on.
  ~Listener();

  pid_t pid() const { return process_.pid(); }
  // Readable once it has ended.
  int ended_fd() const { return process_.ended_fd(); }
  // Once it has ended: how, and the last line of its log.
  std::string describe_end();

 private:
  const ServerPlaces places_;
  os::Clock& clock_;
  os::Child process_;
};

}  // namespace dstack::runner::ssh
