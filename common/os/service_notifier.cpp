#include "common/os/service_notifier.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "common/os/unique_fd.h"
#include "common/text/number.h"

namespace dstack::os {

namespace {

std::optional<std::int64_t> number(const char* text) {
  if (text == nullptr) return std::nullopt;
  const auto value = text::parse_number<std::int64_t>(text);
  return value && *value > 0 ? value : std::nullopt;
}

// A line of its own in the protocol must not become two.
std::string one_line(std::string_view text) {
  std::string line(text);
  for (char& c : line) {
    if (c == '\n') c = ' ';
  }
  return line;
}

}  // namespace

ServiceNotifier::ServiceNotifier() {
  if (const char* socket = std::getenv("NOTIFY_SOCKET"); socket != nullptr && (*socket == '/' || *socket == '@')) {
    address_ = socket;
    if (address_.front() == '@') address_.front() = '\0';
  }
  const auto process = number(std::getenv("WATCHDOG_PID"));
  if (process && *process != ::getpid()) return;
  if (const auto limit = number(std::getenv("WATCHDOG_USEC"))) watchdog_ = std::chrono::microseconds(*limit);
}

void ServiceNotifier::ready(std::string_view status) { send("READY=1\nSTATUS=" + one_line(status)); }

void ServiceNotifier::status(std::string_view text) { send("STATUS=" + one_line(text)); }

void ServiceNotifier::stopping() { send("STOPPING=1\nSTATUS=Stopping"); }

void ServiceNotifier::alive() { send("WATCHDOG=1"); }

void ServiceNotifier::send(const std::string& state) const {
  sockaddr_un to{};
  if (address_.empty() || address_.size() > sizeof to.sun_path) return;
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path, address_.data(), address_.size());
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return;
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
  ::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&to), length);
}

}  // namespace dstack::os
