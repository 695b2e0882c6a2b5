#include "shim/dcgm/health.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"

extern char** environ;

namespace dstack::shim::dcgm {

namespace {

using nlohmann::json;

constexpr std::size_t line_limit = std::size_t{8} << 20;

struct Pipe {
  os::UniqueFd read_end;
  os::UniqueFd write_end;
};

Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw os_error("create a pipe", "");
  return {.read_end = os::UniqueFd(ends[0]), .write_end = os::UniqueFd(ends[1])};
}

}  // namespace

// The helper with pipes to its standard input and from its standard output. Killed in the end.
class Health::Process {
 public:
  explicit Process(std::vector<std::string> command) {
    Pipe input = make_pipe();
    Pipe output = make_pipe();
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, input.read_end.get(), STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, output.write_end.get(), STDOUT_FILENO);
    ::posix_spawnattr_init(&attributes);
    sigset_t none;
    sigemptyset(&none);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setpgroup(&attributes, 0);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    std::vector<char*> arguments;
    for (std::string& argument : command) arguments.push_back(argument.data());
    arguments.push_back(nullptr);
    const int code = ::posix_spawnp(&pid_, arguments[0], &actions, &attributes, arguments.data(), environ);
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&actions);
    if (code != 0) throw Error(ErrorKind::not_found, std::format("run {}: {}", command[0], describe_errno(code)));
    input_ = std::move(input.write_end);
    output_ = std::move(output.read_end);
    ::fcntl(output_.get(), F_SETFL, O_NONBLOCK);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() {
    ::kill(-pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  int output() const { return output_.get(); }

  // One byte fits into an empty pipe; there is never more than one question in it.
  void ask() const { [[maybe_unused]] const ssize_t ignored = ::write(input_.get(), "\n", 1); }

  // Reads what is there and hands out whole lines; false at the end.
  template <typename Take>
  bool read_lines(Take take) {
    char buffer[65536];
    while (true) {
      const ssize_t count = ::read(output_.get(), buffer, sizeof buffer);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return errno == EAGAIN;
      if (count == 0) return false;
      unread_.append(buffer, static_cast<std::size_t>(count));
      for (std::size_t end = 0; (end = unread_.find('\n')) != std::string::npos; unread_.erase(0, end + 1)) {
        take(unread_.substr(0, end));
      }
      if (unread_.size() > line_limit) return false;
    }
  }

 private:
  pid_t pid_ = 0;
  os::UniqueFd input_;
  os::UniqueFd output_;
  std::string unread_;
};

Health::Health(std::vector<std::string> command, os::Clock& clock, HealthLimits limits)
    : command_(std::move(command)), clock_(clock), limits_(limits), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!wake_) throw os_error("create an event descriptor", "");
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

Health::~Health() = default;

std::optional<HealthReport> Health::check() {
  std::unique_lock lock(mutex_);
  if (!unread_) {
    if (!alive_) return std::nullopt;
    const std::uint64_t before = answers_;
    // Who comes while a question is on its way shares its answer.
    wanted_ = !asked_;
    ::eventfd_write(wake_.get(), 1);
    clock_.wait_until(lock, changed_, clock_.now() + limits_.answer, [&] { return answers_ != before || !alive_; });
    if (answers_ == before) return std::nullopt;
  }
  unread_ = false;
  return last_ ? for_server(*last_) : std::nullopt;
}

void Health::run(const std::stop_token& stop) {
  const std::stop_callback wake(stop, [this] { ::eventfd_write(wake_.get(), 1); });
  std::chrono::milliseconds pause = limits_.first_pause;
  while (!stop.stop_requested()) {
    try {
      Process process(command_);
      {
        const std::scoped_lock lock(mutex_);
        alive_ = true;
        changed_.notify_all();
      }
      if (look_after(process, stop)) pause = limits_.first_pause;
    } catch (const Error& error) {
      tell(error.what());
    }
    {
      const std::scoped_lock lock(mutex_);
      alive_ = false;
      wanted_ = false;
      asked_ = false;
      changed_.notify_all();
    }
    os::pause(clock_, pause, stop);
    pause = std::min(pause * 2, limits_.longest_pause);
  }
}

bool Health::look_after(Process& process, const std::stop_token& stop) {
  const auto timer = clock_.make_timer();
  bool answered = false;
  bool said_why = false;
  while (!stop.stop_requested()) {
    if (take_wish()) {
      timer->arm(clock_.now() + limits_.patience);
      process.ask();
    }
    pollfd waiting[] = {{.fd = process.output(), .events = POLLIN, .revents = 0},
                        {.fd = wake_.get(), .events = POLLIN, .revents = 0},
                        {.fd = timer->fd(), .events = POLLIN, .revents = 0}};
    if (::poll(waiting, std::size(waiting), -1) < 0 && errno != EINTR) throw os_error("wait for", command_[0]);
    eventfd_t ignored = 0;
    ::eventfd_read(wake_.get(), &ignored);
    const bool goes_on = process.read_lines([&](const std::string& line) {
      if (take_line(line)) answered = true;
      said_why = !answered;
      timer->disarm();
    });
    if (!goes_on) {
      if (!said_why) tell("the process that asks for the GPUs' health has ended");
      return answered;
    }
    if (waiting[2].revents != 0) {
      tell(std::format("no answer within {} ms", limits_.patience.count()));
      return answered;
    }
  }
  return answered;
}

bool Health::take_wish() {
  const std::scoped_lock lock(mutex_);
  if (!std::exchange(wanted_, false)) return false;
  asked_ = true;
  return true;
}

bool Health::take_line(const std::string& line) {
  const json value = json::parse(line, nullptr, false);
  std::optional<HealthReport> report;
  if (value.is_object() && value.contains("health")) {
    report = parse_report(value["health"]);
  } else if (value.is_object() && value.contains("error") && value["error"].is_string()) {
    tell(printable(value["error"].get<std::string>(), 500));
  } else {
    tell(std::format("nonsense: {}", printable(line)));
  }
  const bool is_report = report.has_value();
  if (is_report) told_.clear();
  const std::scoped_lock lock(mutex_);
  last_ = std::move(report);
  unread_ = last_ && (last_->overall_health != 0 || !last_->incidents.empty());
  asked_ = false;
  ++answers_;
  changed_.notify_all();
  return is_report;
}

void Health::tell(const std::string& trouble) {
  // A host without DCGM is an ordinary one: its log is not to be full of that.
  spdlog::log(trouble == told_ ? spdlog::level::debug : spdlog::level::warn, "DCGM: {}", trouble);
  told_ = trouble;
}

}  // namespace dstack::shim::dcgm
