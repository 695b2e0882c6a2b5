#include "common/os/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <format>
#include <string_view>
#include <utility>

#include "common/error.h"
#include "common/os/child_exec.h"
#include "common/os/child_thread.h"
#include "common/os/file.h"
#include "common/os/wait.h"

extern char** environ;  // NOLINT(readability-redundant-declaration): musl declares it only for GNU

namespace dstack::os {

namespace {

// For a killed child to be gone. The kernel needs a moment; an uninterruptible wait has no end.
constexpr std::chrono::seconds kKillGrace{1};
constexpr int kBusyAttempts = 100;
constexpr std::chrono::milliseconds kBusyPause{10};
constexpr std::string_view kUsualPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw os_error("create a pipe", "");
  return {.read_end = UniqueFd(ends[0]), .write_end = UniqueFd(ends[1])};
}

void make_nonblocking(const UniqueFd& fd) { ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK); }

// The two ends of one standard stream: the child's, and ours of a pipe.
struct StreamEnds {
  UniqueFd childs;
  UniqueFd ours;
};

StreamEnds open_stream(const ChildStream& stream, bool is_input) {
  switch (stream.kind) {
    case ChildStream::Kind::null: return {.childs = open_file("/dev/null", is_input ? O_RDONLY : O_WRONLY), .ours = {}};
    case ChildStream::Kind::descriptor: {
      UniqueFd copy(::fcntl(stream.descriptor, F_DUPFD_CLOEXEC, 0));
      if (!copy) throw os_error("duplicate a descriptor", "");
      return {.childs = std::move(copy), .ours = {}};
    }
    case ChildStream::Kind::pipe: break;
  }
  Pipe pipe = make_pipe();
  UniqueFd& ours = is_input ? pipe.write_end : pipe.read_end;
  UniqueFd& childs = is_input ? pipe.read_end : pipe.write_end;
  make_nonblocking(ours);
  return {.childs = std::move(childs), .ours = std::move(ours)};
}

std::vector<std::string> own_environment() {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) result.emplace_back(*entry);
  std::erase_if(result, [](const std::string& entry) { return entry.starts_with("LC_ALL="); });
  result.emplace_back("LC_ALL=C");
  return result;
}

// execve's arrays; they refer to `strings`.
std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  // execve takes char* for historical reasons and changes nothing.
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

void refuse_nul(const ChildSpec& spec) {
  for (std::size_t i = 0; i < spec.arguments.size(); ++i) {
    if (!spec.arguments[i].contains('\0')) continue;
    throw Error(ErrorKind::invalid,
                std::format("argument {} of {} contains a NUL byte", i, printable(spec.arguments[0])));
  }
}

// A program's name in a message; quoted if it is not an ordinary one.
std::string shown(const std::string& name) {
  const bool ordinary = std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("/._-+").contains(c);
  });
  return ordinary && !name.empty() ? name : printable(name);
}

// 0 if the file is a program, or why it is not one.
int objection_to(const std::string& file) {
  struct stat status{};
  if (::stat(file.c_str(), &status) != 0) return errno;
  if (!S_ISREG(status.st_mode)) return S_ISDIR(status.st_mode) ? EISDIR : EACCES;
  return ::access(file.c_str(), X_OK) == 0 ? 0 : errno;
}

struct Search {
  std::string found;       // empty: nothing
  int objection = ENOENT;  // why not
};

Search search_path(const std::string& name) {
  if (name.contains('/')) return {.found = name, .objection = 0};
  const char* path = std::getenv("PATH");
  std::string_view folders = path != nullptr ? path : kUsualPath;
  Search search;
  while (!folders.empty() && !name.empty()) {
    const std::string_view folder = folders.substr(0, folders.find(':'));
    folders.remove_prefix(std::min(folders.size(), folder.size() + 1));
    std::string candidate = std::format("{}/{}", folder.empty() ? "." : folder, name);
    const int objection = objection_to(candidate);
    if (objection == 0) return {.found = std::move(candidate), .objection = 0};
    if (search.objection == ENOENT && objection != ENOTDIR) search.objection = objection;
  }
  return search;
}

ExecError cannot_run(const std::string& program, int code) {
  // ENOENT has two meanings here, and the second one puzzles people.
  if (code == ENOENT && ::access(program.c_str(), F_OK) == 0) {
    return {ErrorKind::unavailable, std::format("run {}: its interpreter or loader does not exist", shown(program)),
            code};
  }
  const bool absent = code == ENOENT || code == ENOTDIR;
  return {absent ? ErrorKind::not_found : ErrorKind::unavailable,
          std::format("run {}: {}", shown(program), describe_errno(code)), code};
}

Error explain(const ExecFailure& failure, const ChildSpec& spec, const std::string& name) {
  const std::string program = shown(name);
  const auto failed = [&](std::string_view action, std::string_view subject) {
    return Error(ErrorKind::unavailable, std::format("{} {}: {}", action, subject, describe_errno(failure.code)));
  };
  switch (failure.step) {
    case ExecStep::streams: return failed("connect the standard streams of", program);
    case ExecStep::session: return failed("start a session for", program);
    case ExecStep::terminal: return failed("give a terminal to", program);
    case ExecStep::user: return failed("become the user", printable(spec.user ? spec.user->name : ""));
    case ExecStep::working_dir: return failed("enter the working folder", printable(spec.working_dir.native()));
    case ExecStep::parent: return failed("tie to this process", program);
    case ExecStep::program: break;
  }
  return failed("run", program);
}

}  // namespace

std::string ExitStatus::describe() const {
  return signal ? std::format("was killed by signal {}", *signal) : std::format("exited with status {}", code);
}

Child::Child(const ChildSpec& spec, Clock& clock, const std::stop_token& stop)
    : clock_(&clock), spare_group_(spec.spare_group), key_(spec.key) {
  refuse_nul(spec);
  if (const auto predecessor = key_.empty() ? std::nullopt : find_unkillable(key_)) {
    throw Error(ErrorKind::unavailable,
                std::format("run {}: the previous one (process {}) was killed and still hangs in the kernel",
                            shown(spec.arguments.at(0)), *predecessor));
  }
  const std::string name = spec.program.empty() ? spec.arguments.at(0) : spec.program.string();
  const Search search = search_path(name);
  if (search.found.empty()) throw cannot_run(name, search.objection);
  const std::vector<std::string> environment = spec.environment ? *spec.environment : own_environment();
  const std::vector<char*> arguments = pointers_to(spec.arguments);
  const std::vector<char*> variables = pointers_to(environment);
  static const std::vector<UserId> no_groups;
  const std::vector<UserId>& groups = spec.user ? spec.user->groups : no_groups;

  StreamEnds input = open_stream(spec.input, true);
  StreamEnds output = open_stream(spec.output, false);
  StreamEnds errors = open_stream(spec.errors, false);
  ExecPlan plan{.program = search.found.c_str(),
                .arguments = arguments.data(),
                .environment = variables.data(),
                .working_dir = spec.working_dir.empty() ? nullptr : spec.working_dir.c_str(),
                .streams = {input.childs.get(), output.childs.get(), errors.childs.get()},
                .own_session = spec.own_session,
                .controlling_terminal = spec.controlling_terminal,
                .unlimited_memory_lock = spec.unlimited_memory_lock,
                .change_user = spec.user.has_value(),
                .uid = spec.user ? spec.user->uid : 0,
                .gid = spec.user ? spec.user->gid : 0,
                .groups = groups.data(),
                .group_count = groups.size(),
                .dies_with_parent = spec.dies_with_parent,
                .parent = ::getpid()};
  for (int attempt = 1;; ++attempt) {
    Pipe report = make_pipe();
    plan.report = report.write_end.get();
    pid_ = fork_child([&plan] { exec_child(plan); });
    report.write_end.reset();
    ExecFailure failure;
    try {
      watch_ = std::make_unique<ProcessWatch>(pid_);
      make_nonblocking(report.read_end);
      if (!await_start(report.read_end, spec.start_limit, name, stop, failure)) break;
      kill();
    } catch (...) {
      kill();
      throw;
    }
    // A program that was written a moment ago: a child that another thread has just started still has it open, until it
    // becomes a program of its own.
    status_.reset();
    const bool busy = failure.step == ExecStep::program && failure.code == ETXTBSY && attempt < kBusyAttempts;
    if (busy && pause(clock, kBusyPause, stop)) continue;
    if (failure.step == ExecStep::program) throw cannot_run(name, failure.code);
    throw explain(failure, spec, name);
  }
  input_ = std::move(input.ours);
  output_ = std::move(output.ours);
  errors_ = std::move(errors.ours);
}

bool Child::await_start(const UniqueFd& report, std::chrono::milliseconds limit, const std::string& program,
                        const std::stop_token& stop, ExecFailure& failure) {
  // By the machine's own clock: this bounds what the kernel does, not what the caller waits for.
  Clock& clock = system_clock();
  Wait wait(clock, stop, clock.now() + limit);
  while (true) {
    const ssize_t count = ::read(report.get(), &failure, sizeof failure);
    if (count == static_cast<ssize_t>(sizeof failure)) return true;
    if (count == 0) return false;
    if (count < 0 && errno != EAGAIN && errno != EINTR) throw os_error("start", program);
    pollfd waiting[] = {{.fd = report.get(), .events = POLLIN, .revents = 0}};
    switch (wait.until_ready(waiting, program)) {
      case Wait::Outcome::ready: break;
      case Wait::Outcome::stopped:
        throw Error(ErrorKind::cancelled, std::format("start {}: cancelled", shown(program)));
      case Wait::Outcome::timed_out:
        throw Error(ErrorKind::timed_out,
                    std::format("start {}: it was not loaded within {} ms", shown(program), limit.count()));
    }
  }
}

Child::Child(Child&& other) noexcept
    : clock_(other.clock_),
      pid_(std::exchange(other.pid_, -1)),
      spare_group_(other.spare_group_),
      key_(std::move(other.key_)),
      status_(other.status_),
      watch_(std::move(other.watch_)),
      input_(std::move(other.input_)),
      output_(std::move(other.output_)),
      errors_(std::move(other.errors_)) {}

// NOLINTNEXTLINE(bugprone-exception-escape): without memory for a number there is no orderly end
Child::~Child() {
  try {
    kill();
  } catch (const std::exception&) {
    // No descriptor to wait with: the thread that waits for those that hang does it.
    if (pid_ > 0 && !status_) reap_later(pid_, std::move(key_));
  }
}

bool Child::write(std::string_view text, const std::stop_token& stop, std::optional<SteadyTime> deadline) {
  Wait wait(*clock_, stop, deadline);
  while (!text.empty()) {
    const ssize_t count = ::write(input_.get(), text.data(), text.size());
    if (count > 0) text.remove_prefix(static_cast<std::size_t>(count));
    if (count >= 0 || errno == EINTR) continue;
    if (errno != EAGAIN) return false;
    pollfd waiting[] = {{.fd = input_.get(), .events = POLLOUT, .revents = 0},
                        {.fd = ended_fd(), .events = POLLIN, .revents = 0}};
    if (wait.until_ready(waiting, "a child") != Wait::Outcome::ready || waiting[1].revents != 0) return false;
  }
  return true;
}

void Child::signal(int number) const {
  if (pid_ > 0 && !status_) ::kill(pid_, number);
}

void Child::signal_group(int number) const {
  if (pid_ > 0 && !status_) ::kill(-pid_, number);
}

std::optional<ExitStatus> Child::try_wait() {
  if (status_ || pid_ <= 0) return status_;
  pollfd ended{.fd = ended_fd(), .events = POLLIN, .revents = 0};
  if (::poll(&ended, 1, 0) <= 0) return std::nullopt;
  // While its number is still taken, nothing else can be meant by it.
  if (!spare_group_) signal_group(SIGKILL);
  const auto status = reap_child(pid_);
  // One that a debugger holds cannot be reaped yet.
  if (!status) return std::nullopt;
  if (WIFSIGNALED(*status)) {
    status_ = {.code = -1, .signal = WTERMSIG(*status)};
  } else {
    status_ = {.code = WEXITSTATUS(*status), .signal = std::nullopt};
  }
  if (!spare_group_ && ::kill(-pid_, 0) == 0) watch_group(pid_, key_);
  return status_;
}

std::optional<ExitStatus> Child::wait(const std::stop_token& stop, std::optional<SteadyTime> deadline) {
  if (try_wait() || pid_ <= 0) return status_;
  Wait wait(*clock_, stop, deadline);
  pollfd waiting[] = {{.fd = ended_fd(), .events = POLLIN, .revents = 0}};
  while (true) {
    const Wait::Outcome outcome = wait.until_ready(waiting, "a child");
    if (try_wait() || outcome != Wait::Outcome::ready) return status_;
    // It has ended, and a debugger holds it.
    if (!pause(*clock_, kBusyPause, stop)) return std::nullopt;
  }
}

std::optional<ExitStatus> Child::kill() {
  if (status_ || pid_ <= 0) return status_;
  if (!spare_group_) signal_group(SIGKILL);
  signal(SIGKILL);
  if (!watch_ || !wait({}, clock_->now() + kKillGrace)) reap_later(std::exchange(pid_, -1), std::move(key_));
  return status_;
}

std::optional<std::string> find_program(const std::string& name) {
  if (name.contains('/')) return ::access(name.c_str(), X_OK) == 0 ? std::optional(name) : std::nullopt;
  Search search = search_path(name);
  return search.found.empty() ? std::nullopt : std::optional(std::move(search.found));
}

}  // namespace dstack::os
