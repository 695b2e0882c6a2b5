#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <format>

#include "common/exit_status.h"
#include "common/os/clock.h"
#include "common/os/file.h"
#include "common/os/wait.h"
#include "common/text/trim.h"
#include "shim/relay/relay.h"

namespace dstack::shim::relay {

namespace {

constexpr std::chrono::seconds kSilence{30};

// The parent of a process; 0 where it cannot be told.
pid_t parent_of(pid_t pid) {
  const auto status = os::try_read_file(std::format("/proc/{}/status", pid));
  if (!status) return 0;
  const std::size_t at = status->find("\nPPid:");
  if (at == std::string::npos) return 0;
  const std::string_view number = text::trim(std::string_view(*status).substr(at + 6, 16));
  pid_t parent = 0;
  std::from_chars(number.data(), number.data() + number.size(), parent);
  return parent;
}

// sshd notices a host whose line was cut only when it writes to it, and that may take a quarter of an hour: meanwhile
// it listens on the host's address, so that the host itself is refused. Its session ends with this process of it.
void end_login() {
  for (pid_t pid = ::getppid(); pid > 1; pid = parent_of(pid)) {
    const auto name = os::try_read_file(std::format("/proc/{}/comm", pid));
    const std::string_view trimmed = text::trim(name ? std::string_view(*name) : std::string_view());
    if (trimmed != "sshd" && trimmed != "sshd-session") continue;
    ::kill(pid, SIGTERM);
    return;
  }
}

}  // namespace

int hold() {
  os::Clock& clock = os::system_clock();
  std::array<char, 256> bytes{};
  while (true) {
    std::array<pollfd, 1> waiting{{{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0}}};
    if (os::Wait(clock, {}, clock.now() + kSilence).until_ready(waiting, "the host") == os::Wait::Outcome::timed_out) {
      end_login();
      return exit_status::kFailed;
    }
    const ssize_t count = ::read(STDIN_FILENO, bytes.data(), bytes.size());
    if (count == 0) return exit_status::kDone;
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count < 0 || ::write(STDOUT_FILENO, bytes.data(), static_cast<std::size_t>(count)) != count) {
      end_login();
      return exit_status::kFailed;
    }
  }
}

}  // namespace dstack::shim::relay
