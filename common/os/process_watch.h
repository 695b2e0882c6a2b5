#pragma once

#include <sys/types.h>

#include <thread>

#include "common/os/unique_fd.h"

namespace dstack::os {

// Tells when a child of this process has ended, and leaves its status to whoever waits for it. One thread uses it.
class ProcessWatch {
 public:
  // `pid` is a child that nobody has waited for yet. Throws Error.
  explicit ProcessWatch(pid_t pid);
  ProcessWatch(ProcessWatch&&) = default;
  ProcessWatch& operator=(ProcessWatch&&) = delete;
  ~ProcessWatch();

  // Becomes and stays readable when the child has ended.
  int fd() const { return ended_.get(); }

 private:
  os::UniqueFd ended_;
  std::thread waiter_;  // where the kernel has no pidfd
};

}  // namespace dstack::os
