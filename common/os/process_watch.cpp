#include "common/os/process_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <format>
#include <system_error>

#include "common/error.h"
#include "common/os/thread.h"

namespace dstack::os {

ProcessWatch::ProcessWatch(pid_t pid) {
#ifdef SYS_pidfd_open
  ended_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (ended_) return;
#endif
  // Linux before 5.3, or a sandbox that does not know the call.
  ended_.reset(::eventfd(0, EFD_CLOEXEC));
  if (!ended_) throw os_error("watch process", std::to_string(pid));
  waiter_ = start_thread("watch a process", [pid, event = ended_.get()] {
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) continue;
    ::eventfd_write(event, 1);
  });
}

ProcessWatch::~ProcessWatch() {
  if (!waiter_.joinable()) return;
  pollfd ended{.fd = ended_.get(), .events = POLLIN, .revents = 0};
  if (::poll(&ended, 1, 0) > 0) {
    waiter_.join();
  } else {
    // The child hangs in the kernel. The thread holds its own copies of what it needs but for the descriptor, which
    // must therefore stay open.
    ended_.release();
    waiter_.detach();
  }
}

}  // namespace dstack::os
