#include "tests/inject/traced_program.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <fstream>
#include <stdexcept>
#include <system_error>

namespace dstack::test {

namespace {

constexpr unsigned long kOptions = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                                   PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;

std::vector<sock_filter> filter() {
  std::vector<sock_filter> code{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const long number : calls_of_interest()) {
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 1));
    code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE));
  }
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  return code;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

pid_t group_of(pid_t thread) {
  std::ifstream status("/proc/" + std::to_string(thread) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("Tgid:")) return std::stoi(line.substr(5));
  }
  return 0;
}

void resume(pid_t thread, int signal = 0) { ::ptrace(PTRACE_CONT, thread, nullptr, signal); }

}  // namespace

TracedProgram::TracedProgram(std::filesystem::path program, std::vector<std::string> arguments,
                             std::vector<std::string> environment, std::filesystem::path log)
    : program_(std::filesystem::canonical(program)),
      arguments_(std::move(arguments)),
      environment_(std::move(environment)),
      log_(std::move(log)),
      tracer_([this] { trace(); }) {}

TracedProgram::~TracedProgram() {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return first_ != 0 || over_; });
    if (!over_) {
      if (main_ != 0 && !status_) ::kill(main_, SIGKILL);
      ::kill(first_, SIGKILL);
    }
  }
  tracer_.join();
}

void TracedProgram::arm(const FaultKind& kind, unsigned nth, bool sticky) {
  const std::scoped_lock lock(mutex_);
  kind_ = &kind;
  nth_ = nth;
  sticky_ = sticky;
  outcome_ = {};
}

TracedProgram::Outcome TracedProgram::disarm() {
  std::unique_lock lock(mutex_);
  kind_ = nullptr;
  changed_.wait(lock, [this] { return failing_.empty() || over_; });
  return outcome_;
}

bool TracedProgram::await_program() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return main_ != 0 || over_; });
  return main_ != 0;
}

pid_t TracedProgram::pid() const {
  const std::scoped_lock lock(mutex_);
  return main_;
}

std::optional<int> TracedProgram::crashed() const {
  const std::scoped_lock lock(mutex_);
  return crash_;
}

std::optional<int> TracedProgram::ended() const {
  const std::scoped_lock lock(mutex_);
  return status_;
}

int TracedProgram::await_end() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return status_.has_value() || over_; });
  return status_.value_or(-1);
}

void TracedProgram::signal(int number) const {
  const std::scoped_lock lock(mutex_);
  if (main_ != 0 && !status_) ::kill(main_, number);
}

// Only the thread that has started a process may trace it.
void TracedProgram::trace() {
  start();
  while (true) {
    int status = 0;
    const pid_t thread = ::waitpid(-1, &status, __WALL | __WNOTHREAD);
    if (thread < 0 && errno == EINTR) continue;
    if (thread < 0) break;
    if (WIFSTOPPED(status)) {
      stopped(thread, status);
      continue;
    }
    concerned_.erase(thread);
    gone(thread);
    const std::scoped_lock lock(mutex_);
    if (thread == main_) status_ = status;
    // What it was started by way of ends with it, and whatever is left of it is not waited for.
    changed_.notify_all();
  }
  const std::scoped_lock lock(mutex_);
  over_ = true;
  changed_.notify_all();
}

void TracedProgram::start() {
  std::vector<sock_filter> code = filter();
  const sock_fprog filter{.len = static_cast<unsigned short>(code.size()), .filter = code.data()};
  const std::vector<char*> arguments = pointers(arguments_);
  const std::vector<char*> environment = pointers(environment_);
  const int output = ::open(log_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const int input = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const pid_t child = ::fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (child == 0) {
    ::dup2(input, 0);
    ::dup2(output, 1);
    ::dup2(output, 2);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(126);
    ::raise(SIGSTOP);
    if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) ::_exit(126);
    ::execve(arguments[0], arguments.data(), environment.data());
    ::_exit(127);
  }
  ::close(output);
  ::close(input);
  int status = 0;
  ::waitpid(child, &status, __WALL);
  ::ptrace(PTRACE_SETOPTIONS, child, nullptr, kOptions);
  concerned_[child] = false;
  resume(child);
  const std::scoped_lock lock(mutex_);
  first_ = child;
  changed_.notify_all();
}

void TracedProgram::stopped(pid_t thread, int status) {
  const int signal = WSTOPSIG(status);
  const int event = status >> 16;
  if (event == PTRACE_EVENT_SECCOMP) return entered(thread);
  if (signal == (SIGTRAP | 0x80)) return returned(thread);
  if (event == PTRACE_EVENT_EXEC) executed(thread);
  if (event != 0) return resume(thread);
  // A new thread or process begins with a stop that nobody sent.
  if (!concerned_.contains(thread) && signal == SIGSTOP) {
    is_concerned(thread);
    return resume(thread);
  }
  if ((signal == SIGABRT || signal == SIGSEGV) && is_concerned(thread)) {
    const std::scoped_lock lock(mutex_);
    if (!crash_) crash_ = signal;
    ::kill(main_, SIGKILL);
  }
  resume(thread, signal);
}

void TracedProgram::executed(pid_t thread) {
  std::error_code failure;
  const std::filesystem::path now = std::filesystem::read_symlink("/proc/" + std::to_string(thread) + "/exe", failure);
  const std::scoped_lock lock(mutex_);
  if (main_ != 0 || failure || now != program_) {
    concerned_[thread] = thread == main_;
    return;
  }
  main_ = thread;
  concerned_[thread] = true;
  changed_.notify_all();
}

// A thread that was killed within its call has seen no error.
void TracedProgram::gone(pid_t thread) {
  const std::scoped_lock lock(mutex_);
  if (failing_.erase(thread) != 0) --outcome_.reached;
  changed_.notify_all();
}

bool TracedProgram::is_concerned(pid_t thread) {
  const auto known = concerned_.find(thread);
  if (known != concerned_.end()) return known->second;
  const pid_t group = group_of(thread);
  const std::scoped_lock lock(mutex_);
  return concerned_[thread] = main_ != 0 && group == main_;
}

void TracedProgram::entered(pid_t thread) {
  const FaultKind* kind = nullptr;
  {
    const std::scoped_lock lock(mutex_);
    kind = kind_;
  }
  __ptrace_syscall_info info{};
  if (kind == nullptr || !is_concerned(thread) ||
      ::ptrace(static_cast<__ptrace_request>(PTRACE_GET_SYSCALL_INFO), thread, sizeof info, &info) <= 0) {
    return resume(thread);
  }
  SystemCall call{.thread = thread, .number = static_cast<long>(info.seccomp.nr), .arguments = {}};
  std::ranges::copy(info.seccomp.args, call.arguments.begin());
  if (!kind->applies(call)) return resume(thread);
  {
    const std::scoped_lock lock(mutex_);
    if (kind_ != kind) return resume(thread);
    ++outcome_.seen;
    if (outcome_.seen != nth_ && (!sticky_ || outcome_.seen < nth_)) return resume(thread);
    ++outcome_.reached;
    if (outcome_.reached == 1) outcome_.first = std::to_string(call.number);
    failing_[thread] = kind->error;
  }
  user_regs_struct registers{};
  ::ptrace(PTRACE_GETREGS, thread, nullptr, &registers);
  registers.orig_rax = static_cast<unsigned long long>(-1);  // no call at all
  registers.rax = static_cast<unsigned long long>(-kind->error);
  ::ptrace(PTRACE_SETREGS, thread, nullptr, &registers);
  ::ptrace(PTRACE_SYSCALL, thread, nullptr, nullptr);
}

void TracedProgram::returned(pid_t thread) {
  __ptrace_syscall_info info{};
  const bool known = ::ptrace(static_cast<__ptrace_request>(PTRACE_GET_SYSCALL_INFO), thread, sizeof info, &info) > 0 &&
                     info.op == PTRACE_SYSCALL_INFO_EXIT && info.exit.is_error;
  {
    const std::scoped_lock lock(mutex_);
    const auto failing = failing_.extract(thread);
    if (known && failing && info.exit.rval == -failing.mapped()) ++outcome_.failed;
    changed_.notify_all();
  }
  resume(thread);
}

}  // namespace dstack::test
