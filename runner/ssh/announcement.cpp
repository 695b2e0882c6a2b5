#include "runner/ssh/announcement.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstdint>
#include <format>
#include <random>

#include "common/error.h"

namespace dstack::runner::ssh {

namespace {

// Containers may share one network, and with it all names of this kind.
std::string unique_name() {
  std::random_device random;
  return std::format("dstack-runner-{:08x}{:08x}", random(), random());
}

}  // namespace

Announcement::Announcement() : name_(unique_name()), socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
  if (!socket_) throw os_error("create", "a socket");
  // An abstract address, which is no file: a zero, the name, and zeros to the end, as sshd has it.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::ranges::copy(name_, address.sun_path + 1);
  if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw os_error("bind", "a socket to " + name_);
  }
}

std::string Announcement::variable() const { return "NOTIFY_SOCKET=@" + name_; }

}  // namespace dstack::runner::ssh
