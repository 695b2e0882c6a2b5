#include "runner/job/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <spdlog/spdlog.h>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <format>

#include "common/error.h"
#include "runner/job/capabilities.h"

namespace dstack::runner::job {

namespace {

// A killed process that hangs in the kernel may never end; then it is left to the reaper.
constexpr std::chrono::milliseconds last_wait{100};

enum class Step : int { session, terminal, user, working_dir, program };

// What the child tells the parent when a step fails, through a pipe that a successful exec closes.
struct Failure {
  Step step = Step::session;
  int code = 0;
};

// Everything the child needs, laid out before the fork: between fork and exec it may make system calls only, since
// another thread may have held the allocator's lock.
struct Plan {
  const char* program;
  char* const* arguments;
  char* const* environment;
  const char* working_dir;
  int terminal;
  int report;
  bool change_user;
  uid_t uid;
  gid_t gid;
  const gid_t* groups;
  std::size_t group_count;
  bool lift_memory_lock;
};

[[noreturn]] void fail(const Plan& plan, Step step) {
  const Failure failure{.step = step, .code = errno};
  [[maybe_unused]] const ssize_t written = ::write(plan.report, &failure, sizeof failure);
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

// Not every library opens its files so that a program does not inherit them.
void close_descriptors_on_exec() {
#ifdef SYS_close_range
  constexpr unsigned on_exec = 4;  // CLOSE_RANGE_CLOEXEC
  if (::syscall(SYS_close_range, 3u, ~0u, on_exec) == 0) return;
#endif
  rlimit limit{};
  const rlim_t most = ::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 65536 ? limit.rlim_cur : 65536;
  for (int fd = 3; fd < static_cast<int>(most); ++fd) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

[[noreturn]] void become_job(const Plan& plan) {
  reset_signals();
  if (::setsid() < 0) fail(plan, Step::session);
  if (::ioctl(plan.terminal, TIOCSCTTY, 0) != 0) fail(plan, Step::terminal);
  for (int fd = 0; fd <= 2; ++fd) {
    // dup2 of a descriptor onto itself would leave it to be closed by exec.
    if (::dup2(plan.terminal, fd) < 0 || ::fcntl(fd, F_SETFD, 0) != 0) fail(plan, Step::terminal);
  }
  close_descriptors_on_exec();
  if (plan.lift_memory_lock) {
    const rlimit unlimited{.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    ::setrlimit(RLIMIT_MEMLOCK, &unlimited);
  }
  if (plan.change_user) {
    // By system call: a C library's own would want to tell all threads, and the child has just this one.
    if (::syscall(SYS_setgroups, plan.group_count, plan.groups) != 0 ||
        ::syscall(SYS_setresgid, plan.gid, plan.gid, plan.gid) != 0 ||
        ::syscall(SYS_setresuid, plan.uid, plan.uid, plan.uid) != 0) {
      fail(plan, Step::user);
    }
  }
  if (::chdir(plan.working_dir) != 0) fail(plan, Step::working_dir);
  ::execve(plan.program, plan.arguments, plan.environment);
  fail(plan, Step::program);
}

// execve's arrays of pointers; they refer to `strings`.
std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  // execve takes char* for historical reasons and changes nothing.
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

Error explain(const Failure& failure, const ProcessSpec& spec) {
  const std::string program = printable(spec.program.native());
  switch (failure.step) {
    case Step::session: return os_error("start a session for", program, failure.code);
    case Step::terminal: return os_error("give a terminal to", program, failure.code);
    case Step::user: return os_error("become the user", printable(spec.user.name), failure.code);
    case Step::working_dir:
      return os_error("enter the working folder", printable(spec.working_dir.native()), failure.code);
    case Step::program: break;
  }
  // ENOENT has two meanings here, and the second one puzzles people.
  if (failure.code == ENOENT && ::access(spec.program.c_str(), F_OK) == 0) {
    return {ErrorKind::invalid,
            std::format("execute {}: the interpreter or loader that it names does not exist", program)};
  }
  return os_error("execute", program, failure.code);
}

void refuse_nul(const std::vector<std::string>& arguments) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (!arguments[i].contains('\0')) continue;
    throw Error(ErrorKind::invalid, std::format("commands[{}] has a NUL byte, which no program can be given", i));
  }
}

}  // namespace

Process::Process(const ProcessSpec& spec, Terminal& terminal) {
  refuse_nul(spec.arguments);
  const bool change_user = can_change_user();
  if (change_user) {
    terminal.give_to(spec.user.uid);
  } else {
    spdlog::warn("The container lacks a capability (SETUID, SETGID or CHOWN): the job runs as the runner's own user");
  }
  const std::vector<char*> arguments = pointers_to(spec.arguments);
  const std::vector<char*> environment = pointers_to(spec.environment);
  const std::vector<gid_t> groups(spec.user.groups.begin(), spec.user.groups.end());

  int pipe_ends[2];
  if (::pipe2(pipe_ends, O_CLOEXEC) != 0) throw os_error("create", "a pipe");
  const os::UniqueFd result(pipe_ends[0]);
  os::UniqueFd report(pipe_ends[1]);
  // The child makes its terminal and its working folder descriptors 0 to 2; the pipe must not be among them.
  if (report.get() <= 2) report.reset(::fcntl(report.get(), F_DUPFD_CLOEXEC, 3));

  const Plan plan{.program = spec.program.c_str(),
                  .arguments = arguments.data(),
                  .environment = environment.data(),
                  .working_dir = spec.working_dir.c_str(),
                  .terminal = terminal.job_side(),
                  .report = report.get(),
                  .change_user = change_user,
                  .uid = spec.user.uid,
                  .gid = spec.user.gid,
                  .groups = groups.data(),
                  .group_count = groups.size(),
                  .lift_memory_lock = has_capability(Capability::sys_resource)};

  // No signal may reach a handler or the signal descriptor's mask in the child before it has put both right.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_ = ::fork();
  if (pid_ == 0) become_job(plan);
  const int fork_error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid_ < 0) throw os_error("start a process for", printable(spec.program.native()), fork_error);

  report.reset();
  Failure failure;
  ssize_t count = 0;
  do {
    count = ::read(result.get(), &failure, sizeof failure);
  } while (count < 0 && errno == EINTR);
  if (count == static_cast<ssize_t>(sizeof failure)) {
    wait();
    throw explain(failure, spec);
  }

  watch_ = std::make_unique<os::ProcessWatch>(pid_);
}

Process::~Process() {
  if (waited_) return;
  ::kill(pid_, SIGKILL);
  pollfd ending{.fd = ended_fd(), .events = POLLIN, .revents = 0};
  if (::poll(&ending, 1, static_cast<int>(last_wait.count())) > 0) wait();
}

ExitStatus Process::wait() {
  waited_ = true;
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
  if (WIFSIGNALED(status)) return {.code = -1, .signal = WTERMSIG(status)};
  return {.code = WEXITSTATUS(status), .signal = std::nullopt};
}

}  // namespace dstack::runner::job
