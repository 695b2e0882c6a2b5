#include "common/os/reaper.h"

#include <sys/prctl.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>

#include "common/error.h"

namespace dstack::os {

void adopt_orphans() {
  // Whoever started this process may have had it ignored, which is inherited: children would be gone with their status.
  std::signal(SIGCHLD, SIG_DFL);
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) throw os_error("become the subreaper of", "orphans");
}

bool reap_orphans() {
  bool reaped = false;
  while (true) {
    const pid_t pid = ::waitpid(-1, nullptr, WNOHANG | __WNOTHREAD);
    if (pid > 0) {
      reaped = true;
    } else if (pid == 0 || errno != EINTR) {
      return reaped;
    }
  }
}

}  // namespace dstack::os
