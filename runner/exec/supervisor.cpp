#include "runner/exec/supervisor.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <format>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/json/object_reader.h"
#include "common/os/child.h"
#include "common/os/clock.h"
#include "common/os/file.h"
#include "common/os/reaper.h"
#include "common/os/signals.h"
#include "common/text/base64.h"
#include "runner/exec/frames.h"
#include "runner/exec/request.h"
#include "runner/job/ending.h"
#include "runner/job/process_tree.h"
#include "runner/metrics/cgroup.h"

namespace dstack::runner::exec {

namespace {

using nlohmann::json;
using std::chrono::milliseconds;

constexpr std::size_t kUnsentLimit = std::size_t{64} << 10;
constexpr milliseconds kLookInterval{50};    // at what is left, while it is being stopped
constexpr milliseconds kIdleInterval{1000};  // at what the program left behind
constexpr milliseconds kPatience{10000};     // with processes that were killed and do not end

void make_nonblocking(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

// What a program of another user must not get from this process.
void drop_inheritable_capabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return;
  for (__user_cap_data_struct& part : data) part.inheritable = 0;
  ::syscall(SYS_capset, &header, data.data());
}

std::string read_line(int fd) {
  std::string line;
  std::array<char, 65536> buffer;
  while (!line.ends_with('\n')) {
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) throw Error(ErrorKind::unavailable, "the runner has gone");
    line.append(buffer.data(), static_cast<std::size_t>(count));
  }
  return line;
}

// The bytes as a file that is read from its beginning to its end; /dev/null without any.
os::UniqueFd open_input(const std::string& base64) {
  if (base64.empty()) return os::open_file("/dev/null", O_RDONLY);
  const std::string data = text::decode_base64(base64).value_or("");
  os::UniqueFd file(static_cast<int>(::syscall(SYS_memfd_create, "input", 1U /* MFD_CLOEXEC */)));
  if (!file) throw os_error("make a file for", "the input");
  os::write_all(file.get(), data, "the input");
  if (::lseek(file.get(), 0, SEEK_SET) != 0) throw os_error("rewind", "the input");
  return file;
}

os::ChildSpec child_spec(const ExecSpec& spec, int input) {
  os::ChildSpec child;
  child.arguments = spec.arguments;
  child.program = spec.program;
  child.environment = spec.environment;
  child.working_dir = spec.working_dir;
  child.input = os::ChildStream::to(input);
  child.output = os::ChildStream::pipe();
  child.errors = os::ChildStream::pipe();
  child.own_session = true;
  child.spare_group = true;
  child.user =
      os::ChildUser{.name = spec.user.name, .uid = spec.user.uid, .gid = spec.user.gid, .groups = spec.user.groups};
  return child;
}

class Supervisor {
 public:
  Supervisor(os::Child child, os::UniqueFd signals)
      : child_(std::move(child)), signals_(std::move(signals)), oom_kills_(metrics::count_oom_kills()) {
    streams_[0] = {.kind = FrameKind::output, .pipe = std::move(child_.output())};
    streams_[1] = {.kind = FrameKind::errors, .pipe = std::move(child_.errors())};
    make_nonblocking(STDIN_FILENO);
    make_nonblocking(STDOUT_FILENO);
  }

  void run() {
    while (!is_over()) step();
    unsent_ += frame(FrameKind::end, end_text());
    while (!unsent_.empty() && listened_to_) step();
    ::close(STDOUT_FILENO);
    listened_to_ = false;
    while (!find_all().empty() && !given_up_) step();
  }

 private:
  struct Stream {
    FrameKind kind = FrameKind::output;
    os::UniqueFd pipe;
    std::optional<std::size_t> left;  // bytes that it held when the program ended
  };

  os::SteadyTime now() const { return os::system_clock().now(); }

  std::vector<job::ProcessEntry> find_all() const {
    auto all = job::find_descendants(::getpid(), os::list_processes(), {});
    std::erase_if(all, [](const job::ProcessEntry& process) { return !process.alive(); });
    return all;
  }

  // The program has ended and what it wrote is in; after a stop, all that came of it has ended as well.
  bool is_over() const {
    if (!status_) return given_up_;
    const auto is_drained = [](const Stream& stream) { return !stream.pipe || stream.left == 0; };
    if (!std::ranges::all_of(streams_, is_drained)) return false;
    return !stopping_ || given_up_ || find_all().empty();
  }

  void step() {
    std::array<pollfd, 6> waiting{};
    waiting[0] = {.fd = control_open_ ? STDIN_FILENO : -1, .events = POLLIN};
    waiting[1] = {.fd = listened_to_ ? STDOUT_FILENO : -1, .events = static_cast<short>(unsent_.empty() ? 0 : POLLOUT)};
    waiting[2] = {.fd = status_ ? -1 : child_.ended_fd(), .events = POLLIN};
    waiting[3] = {.fd = signals_.get(), .events = POLLIN};
    for (std::size_t i = 0; i < streams_.size(); ++i) {
      const Stream& stream = streams_[i];
      const bool room = unsent_.size() < kUnsentLimit;
      // After the last frame has been made, everything is read and dropped.
      const bool wanted = stream.pipe && (listened_to_ ? room && stream.left != 0 : true);
      waiting[4 + i] = {.fd = wanted ? stream.pipe.get() : -1, .events = POLLIN};
    }
    ::poll(waiting.data(), waiting.size(), static_cast<int>(timeout().count()));
    // First the program's end: what it wrote before is counted then.
    if (waiting[2].revents != 0) note_end();
    if (waiting[0].revents != 0) read_control();
    if (waiting[1].revents != 0) send(waiting[1].revents);
    if (waiting[3].revents != 0) os::next_signal(signals_);
    os::reap_orphans();
    for (std::size_t i = 0; i < streams_.size(); ++i) {
      if (waiting[4 + i].revents != 0) read(streams_[i]);
    }
    keep_killing();
  }

  milliseconds timeout() const {
    if (!kill_at_) return kIdleInterval;
    const auto left = std::chrono::ceil<milliseconds>(*kill_at_ - now());
    return std::clamp(std::min(left, kLookInterval), milliseconds{1}, kLookInterval);
  }

  void note_end() {
    status_ = child_.try_wait();
    if (!status_) return;
    for (Stream& stream : streams_) {
      int size = 0;
      if (stream.pipe && ::ioctl(stream.pipe.get(), FIONREAD, &size) != 0) size = 0;
      stream.left = static_cast<std::size_t>(std::max(size, 0));
    }
  }

  void read(Stream& stream) {
    std::array<char, 32768> buffer;
    const std::size_t wanted =
        std::min(buffer.size(), listened_to_ ? stream.left.value_or(buffer.size()) : buffer.size());
    const ssize_t count = ::read(stream.pipe.get(), buffer.data(), wanted);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) {
      stream.pipe.reset();
      return;
    }
    const auto size = static_cast<std::size_t>(count);
    if (stream.left) *stream.left -= std::min(*stream.left, size);
    if (listened_to_) unsent_ += frame(stream.kind, {buffer.data(), size});
  }

  void send(short events) {
    const ssize_t count = unsent_.empty() ? 0 : ::write(STDOUT_FILENO, unsent_.data(), unsent_.size());
    if (count > 0) unsent_.erase(0, static_cast<std::size_t>(count));
    const bool broken = count < 0 && errno != EAGAIN && errno != EINTR;
    if (!broken && (events & (POLLERR | POLLHUP)) == 0) return;
    listened_to_ = false;
    unsent_.clear();
  }

  void read_control() {
    std::array<char, 4096> buffer;
    const ssize_t count = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) {
      control_open_ = false;
      // Of a program that still runs; what one left behind goes on.
      if (!status_ || stopping_) stop(SIGKILL, milliseconds{0});
      return;
    }
    control_.append(buffer.data(), static_cast<std::size_t>(count));
    for (std::size_t end = control_.find('\n'); end != std::string::npos; end = control_.find('\n')) {
      const json order = dstack::json::parse_object(control_.substr(0, end));
      const dstack::json::ObjectReader reader(order);
      stop(static_cast<int>(reader.integer("signal")), milliseconds(reader.integer("grace_ms")));
      control_.erase(0, end + 1);
    }
  }

  void stop(int signal, milliseconds grace) {
    stopping_ = true;
    for (const job::ProcessEntry& process : find_all()) ::kill(process.pid, signal);
    const os::SteadyTime kill_at = now() + grace;
    if (!kill_at_ || kill_at < *kill_at_) kill_at_ = kill_at;
  }

  void keep_killing() {
    if (!kill_at_ || now() < *kill_at_) return;
    for (const job::ProcessEntry& process : find_all()) ::kill(process.pid, SIGKILL);
    if (now() >= *kill_at_ + kPatience) given_up_ = true;
  }

  std::string end_text() const {
    json exit_status;
    json signal;
    if (status_ && status_->signal) {
      signal = os::signal_name(*status_->signal);
    } else if (status_) {
      exit_status = status_->code;
    }
    const auto kills = metrics::count_oom_kills();
    const bool out_of_memory = kills && oom_kills_ && *kills > *oom_kills_;
    return dstack::json::dump({{"exit_status", exit_status}, {"signal", signal}, {"oom", out_of_memory}});
  }

  os::Child child_;
  const os::UniqueFd signals_;
  const std::optional<std::uint64_t> oom_kills_;  // before the program
  std::array<Stream, 2> streams_;
  std::string unsent_;
  std::string control_;
  bool control_open_ = true;
  bool listened_to_ = true;
  bool stopping_ = false;
  bool given_up_ = false;
  std::optional<os::SteadyTime> kill_at_;
  std::optional<os::ExitStatus> status_;
};

void answer(const json& text) { os::write_all(STDOUT_FILENO, dstack::json::dump(text) + "\n", "the answer"); }

}  // namespace

int supervise() {
  os::ignore_broken_pipes();
  // Nobody but the runner ends it: a signal for all of a container's processes is not meant for it.
  for (const int number : {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2}) std::signal(number, SIG_IGN);
  os::UniqueFd signals = os::block_and_watch({SIGCHLD});
  drop_inheritable_capabilities();
  os::adopt_orphans();
  std::optional<Supervisor> supervisor;
  try {
    const ExecSpec spec = spec_of(dstack::json::parse_object(read_line(STDIN_FILENO)));
    const os::UniqueFd input = open_input(spec.input);
    supervisor.emplace(os::Child(child_spec(spec, input.get())), std::move(signals));
    answer(json::object());
  } catch (const std::exception& error) {
    answer({{"error", error.what()}});
    return 1;
  }
  supervisor->run();
  return 0;
}

}  // namespace dstack::runner::exec
