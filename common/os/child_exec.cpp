#include "common/os/child_exec.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "common/os/core_files.h"

namespace dstack::os {

namespace {

constexpr int kReport = 3;  // where the report's pipe lies once the streams are in place
constexpr int kAside = 10;  // descriptors from here on are out of the way of 0 to 3

[[noreturn]] void fail(int report, ExecStep step) {
  const ExecFailure failure{.step = step, .code = errno};
  [[maybe_unused]] const ssize_t written = ::write(report, &failure, sizeof failure);
  ::_exit(127);
}

void reset_signals() {
  for (int number = 1; number <= 64; ++number) {
    if (number != SIGKILL && number != SIGSTOP) std::signal(number, SIG_DFL);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Closed now and not by exec: an exec may hang (a program on a dead network disk), and would keep the ends of other
// children's pipes open meanwhile.
void close_all_but(int last) {
#ifdef SYS_close_range
  if (::syscall(SYS_close_range, static_cast<unsigned>(last + 1), ~0U, 0U) == 0) return;
#endif
  rlimit limit{};
  constexpr rlim_t kMost = 65536;
  const rlim_t most = ::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < kMost ? limit.rlim_cur : kMost;
  for (int fd = last + 1; fd < static_cast<int>(most); ++fd) ::close(fd);
}

// Leaves descriptors 0 to 2 and the report's pipe. Their sources may be any numbers, 0 to 3 too, and the same one
// twice.
void place_descriptors(const ExecPlan& plan) {
  const int report = ::fcntl(plan.report, F_DUPFD_CLOEXEC, kAside);
  if (report < 0) fail(plan.report, ExecStep::streams);
  std::array<int, 3> aside{};
  for (std::size_t i = 0; i < aside.size(); ++i) {
    aside[i] = ::fcntl(plan.streams[i], F_DUPFD_CLOEXEC, kAside);
    if (aside[i] < 0) fail(report, ExecStep::streams);
  }
  for (std::size_t i = 0; i < aside.size(); ++i) {
    if (::dup2(aside[i], static_cast<int>(i)) < 0) fail(report, ExecStep::streams);
  }
  if (::dup3(report, kReport, O_CLOEXEC) < 0) fail(report, ExecStep::streams);
  close_all_but(kReport);
}

}  // namespace

void exec_child(const ExecPlan& plan) {
  reset_signals();
  place_descriptors(plan);
  if (plan.own_session) {
    if (::setsid() < 0) fail(kReport, ExecStep::session);
  } else if (::setpgid(0, 0) != 0) {
    fail(kReport, ExecStep::session);
  }
  if (plan.controlling_terminal && ::ioctl(STDIN_FILENO, TIOCSCTTY, 0) != 0) fail(kReport, ExecStep::terminal);
  restore_core_file_limit();
  if (plan.unlimited_memory_lock) {
    const rlimit unlimited{.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    ::setrlimit(RLIMIT_MEMLOCK, &unlimited);
  }
  if (plan.change_user) {
    // By system call: a C library's own would signal all threads, and the child has just this one.
    if (::syscall(SYS_setgroups, plan.group_count, plan.groups) != 0 ||
        ::syscall(SYS_setresgid, plan.gid, plan.gid, plan.gid) != 0 ||
        ::syscall(SYS_setresuid, plan.uid, plan.uid, plan.uid) != 0) {
      fail(kReport, ExecStep::user);
    }
  }
  if (plan.working_dir != nullptr && ::chdir(plan.working_dir) != 0) fail(kReport, ExecStep::working_dir);
  if (plan.dies_with_parent) {
    // Last, since a change of user resets it.
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) fail(kReport, ExecStep::parent);
    if (::getppid() != plan.parent) ::_exit(127);
  }
  ::execve(plan.program, plan.arguments, plan.environment);
  fail(kReport, ExecStep::program);
}

}  // namespace dstack::os
