#include "common/os/signals.h"

#include <poll.h>
#include <sys/signalfd.h>

#include <cerrno>
#include <csignal>

#include "common/error.h"

namespace dstack::os {

UniqueFd block_and_watch(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : signals) sigaddset(&set, number);
  if (const int code = ::pthread_sigmask(SIG_BLOCK, &set, nullptr); code != 0)
    throw os_error("block signals", "", code);
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) throw os_error("watch signals", "");
  return fd;
}

int next_signal(const UniqueFd& watched) {
  while (true) {
    signalfd_siginfo info{};
    const ssize_t count = ::read(watched.get(), &info, sizeof info);
    if (count == static_cast<ssize_t>(sizeof info)) return static_cast<int>(info.ssi_signo);
    if (count < 0 && errno != EAGAIN && errno != EINTR) throw os_error("read a pending signal", "");
    pollfd waiting{.fd = watched.get(), .events = POLLIN, .revents = 0};
    ::poll(&waiting, 1, -1);
  }
}

void ignore_broken_pipes() { std::signal(SIGPIPE, SIG_IGN); }

}  // namespace dstack::os
