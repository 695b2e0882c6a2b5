#include "common/os/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <format>
#include <memory>

#include "common/error.h"
#include "common/os/process_watch.h"
#include "common/os/unique_fd.h"

extern char** environ;

namespace dstack::os {

namespace {

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw os_error("create a pipe", "");
  return {.read_end = UniqueFd(ends[0]), .write_end = UniqueFd(ends[1])};
}

// What posix_spawn is told about the child: standard streams, an empty signal mask, a process group or a session of its
// own.
class SpawnSettings {
 public:
  explicit SpawnSettings(short apart = POSIX_SPAWN_SETPGROUP) {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawnattr_init(&attributes_);
    sigset_t none;
    sigemptyset(&none);
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setsigdefault(&attributes_, &defaults);
    ::posix_spawnattr_setpgroup(&attributes_, 0);
    ::posix_spawnattr_setflags(&attributes_,
                               static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | apart));
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  ~SpawnSettings() {
    ::posix_spawnattr_destroy(&attributes_);
    ::posix_spawn_file_actions_destroy(&actions_);
  }

  void connect(int fd, int standard) { ::posix_spawn_file_actions_adddup2(&actions_, fd, standard); }
  void open(int standard, const char* path, int flags) {
    ::posix_spawn_file_actions_addopen(&actions_, standard, path, flags, 0644);
  }

  const posix_spawn_file_actions_t* actions() const { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

// A running child that leads its process group. The destructor kills the group and reaps the child.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {
    try {
      watch_ = std::make_unique<ProcessWatch>(pid);
    } catch (...) {
      end();
      throw;
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { end(); }

  int ended_fd() const { return watch_->fd(); }

  // Kills what is left of the group and returns the child's wait status.
  int end() {
    if (!reaped_) {
      ::kill(-pid_, SIGKILL);
      while (::waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
      }
      reaped_ = true;
    }
    return status_;
  }

 private:
  pid_t pid_;
  std::unique_ptr<ProcessWatch> watch_;  // always there once the constructor has returned
  int status_ = 0;
  bool reaped_ = false;
};

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

std::vector<std::string> environment_of(const Command& command) {
  if (command.environment) return *command.environment;
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) result.emplace_back(*entry);
  std::erase_if(result, [](const std::string& entry) { return entry.starts_with("LC_ALL="); });
  result.emplace_back("LC_ALL=C");
  return result;
}

constexpr int busy_attempts = 100;
constexpr std::chrono::milliseconds busy_pause{10};

pid_t spawn(const Command& command, int input, int output, int errors, const std::stop_token& stop, Clock& clock) {
  SpawnSettings settings;
  settings.connect(input, STDIN_FILENO);
  settings.connect(output, STDOUT_FILENO);
  settings.connect(errors, STDERR_FILENO);
  std::vector<std::string> arguments = command.arguments;
  std::vector<std::string> environment = environment_of(command);
  pid_t pid = 0;
  int code = 0;
  for (int attempt = 1; attempt <= busy_attempts; ++attempt) {
    code = ::posix_spawnp(&pid, arguments.at(0).c_str(), settings.actions(), settings.attributes(),
                          pointers(arguments).data(), pointers(environment).data());
    // A program that was written a moment ago: a child that another thread has just started still has it open, until it
    // becomes a program of its own.
    if (code != ETXTBSY || !pause(clock, busy_pause, stop)) break;
  }
  if (code != 0) throw Error(ErrorKind::not_found, std::format("run {}: {}", arguments[0], describe_errno(code)));
  return pid;
}

void make_nonblocking(const UniqueFd& fd) { ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK); }

// Moves what is there now; closes the pipe at its end. Returns false when nothing was there.
bool drain(UniqueFd& pipe, std::string& kept, const Command& command, bool& truncated) {
  char buffer[16384];
  const ssize_t count = ::read(pipe.get(), buffer, sizeof buffer);
  if (count > 0) {
    const std::size_t room = command.output_limit - std::min(command.output_limit, kept.size());
    const auto size = static_cast<std::size_t>(count);
    kept.append(buffer, std::min(room, size));
    truncated = truncated || size > room;
    return true;
  }
  if (count == 0 || (errno != EAGAIN && errno != EINTR)) pipe.reset();
  return false;
}

void feed(UniqueFd& pipe, std::string_view& input) {
  const ssize_t count = ::write(pipe.get(), input.data(), input.size());
  if (count > 0) input.remove_prefix(static_cast<std::size_t>(count));
  // A child that does not read its input is no failure.
  if (input.empty() || (count < 0 && errno != EAGAIN && errno != EINTR)) pipe.reset();
}

}  // namespace

CommandResult run_command(const Command& command, std::stop_token stop, Clock& clock) {
  Pipe input = make_pipe();
  Pipe output = make_pipe();
  Pipe errors = make_pipe();
  UniqueFd stopped(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stopped) throw os_error("create an event descriptor", "");
  const std::stop_callback wake(stop, [&stopped] { ::eventfd_write(stopped.get(), 1); });
  const auto timer = clock.make_timer();
  timer->arm(clock.now() + command.limit);

  Child child(spawn(command, input.read_end.get(), output.write_end.get(), errors.write_end.get(), stop, clock));
  input.read_end.reset();
  output.write_end.reset();
  errors.write_end.reset();
  for (UniqueFd* fd : {&input.write_end, &output.read_end, &errors.read_end}) make_nonblocking(*fd);

  CommandResult result;
  std::string_view unsent = command.input;
  if (unsent.empty()) input.write_end.reset();
  while (true) {
    pollfd waiting[] = {
        {.fd = child.ended_fd(), .events = POLLIN, .revents = 0},
        {.fd = timer->fd(), .events = POLLIN, .revents = 0},
        {.fd = stopped.get(), .events = POLLIN, .revents = 0},
        {.fd = output.read_end.get(), .events = POLLIN, .revents = 0},  // a negative descriptor is left out
        {.fd = errors.read_end.get(), .events = POLLIN, .revents = 0},
        {.fd = input.write_end.get(), .events = POLLOUT, .revents = 0},
    };
    if (::poll(waiting, std::size(waiting), -1) < 0 && errno != EINTR) throw os_error("wait for", command.arguments[0]);
    if (waiting[3].revents != 0) drain(output.read_end, result.output, command, result.truncated);
    if (waiting[4].revents != 0) drain(errors.read_end, result.errors, command, result.truncated);
    if (waiting[5].revents != 0) feed(input.write_end, unsent);
    if (waiting[0].revents != 0) break;
    if (waiting[1].revents != 0) {
      result.end = CommandResult::End::timed_out;
      break;
    }
    if (waiting[2].revents != 0) {
      result.end = CommandResult::End::cancelled;
      break;
    }
  }
  const int status = child.end();
  // What the child wrote before its end is still in the pipes.
  while (output.read_end && drain(output.read_end, result.output, command, result.truncated)) {
  }
  while (errors.read_end && drain(errors.read_end, result.errors, command, result.truncated)) {
  }
  if (result.end == CommandResult::End::exited && WIFSIGNALED(status)) {
    result.end = CommandResult::End::signalled;
    result.signal = WTERMSIG(status);
  } else if (WIFEXITED(status)) {
    result.exit_status = WEXITSTATUS(status);
  }
  return result;
}

pid_t start_background(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
                       const std::filesystem::path& output) {
  SpawnSettings settings(POSIX_SPAWN_SETSID);
  settings.open(STDIN_FILENO, "/dev/null", O_RDONLY);
  settings.open(STDOUT_FILENO, output.c_str(), O_WRONLY | O_CREAT | O_APPEND);
  settings.connect(STDOUT_FILENO, STDERR_FILENO);
  std::vector<std::string> own_arguments = arguments;
  std::vector<std::string> own_environment = environment;
  pid_t pid = 0;
  const int code = ::posix_spawn(&pid, arguments.at(0).c_str(), settings.actions(), settings.attributes(),
                                 pointers(own_arguments).data(), pointers(own_environment).data());
  if (code != 0) throw os_error("start", arguments[0], code);
  return pid;
}

std::string CommandResult::describe() const {
  switch (end) {
    case End::timed_out: return "gave no answer in time and was killed";
    case End::cancelled: return "was cancelled";
    case End::signalled: return std::format("was killed by signal {}", signal);
    case End::exited: break;
  }
  const std::string first_line = errors.substr(0, errors.find('\n'));
  if (first_line.empty()) return std::format("exited with status {}", exit_status);
  return std::format("exited with status {}: {}", exit_status, printable(first_line));
}

std::optional<std::string> find_program(const std::string& name) {
  if (name.contains('/')) return ::access(name.c_str(), X_OK) == 0 ? std::optional(name) : std::nullopt;
  const char* path = std::getenv("PATH");
  std::string_view folders = path != nullptr ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  while (!folders.empty()) {
    const std::string_view folder = folders.substr(0, folders.find(':'));
    folders.remove_prefix(std::min(folders.size(), folder.size() + 1));
    std::string candidate = std::format("{}/{}", folder.empty() ? "." : folder, name);
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return std::nullopt;
}

}  // namespace dstack::os
