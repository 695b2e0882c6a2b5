#include "common/os/service_notifier.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

#include "common/os/unique_fd.h"
#include "tests/support/temporary_directory.h"

namespace dstack::os {

namespace {

// What a service manager holds: a datagram socket, and the variables that tell of it.
class ServiceManager {
 public:
  explicit ServiceManager(const std::string& address) : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::memcpy(at.sun_path, address.data(), address.size());
    if (address.front() == '@') at.sun_path[0] = '\0';
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size());
    REQUIRE(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&at), length) == 0);
    ::setenv("NOTIFY_SOCKET", address.c_str(), 1);
  }
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;
  ~ServiceManager() {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) ::unsetenv(name);
  }

  // What was said next; empty if nothing was.
  std::string heard() const {
    std::array<char, 4096> buffer{};
    const auto size = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    return size < 0 ? "" : std::string(buffer.data(), static_cast<std::size_t>(size));
  }

 private:
  UniqueFd socket_;
};

}  // namespace

TEST_CASE("a service manager is told of start, state, life and end") {
  const test::TemporaryDirectory folder;
  const ServiceManager manager((folder / "notify").string());
  ServiceNotifier notifier;
  CHECK(notifier.listens());
  notifier.status("Looking for GPUs");
  CHECK(manager.heard() == "STATUS=Looking for GPUs");
  notifier.ready("Listens");
  CHECK(manager.heard() == "READY=1\nSTATUS=Listens");
  notifier.alive();
  CHECK(manager.heard() == "WATCHDOG=1");
  notifier.stopping();
  CHECK(manager.heard() == "STOPPING=1\nSTATUS=Stopping");
  CHECK(manager.heard().empty());
}

TEST_CASE("an abstract notify socket is found") {
  const ServiceManager manager("@dstack-notify-test-" + std::to_string(::getpid()));
  ServiceNotifier().alive();
  CHECK(manager.heard() == "WATCHDOG=1");
}

TEST_CASE("a status of several lines says nothing else to the service manager") {
  const test::TemporaryDirectory folder;
  const ServiceManager manager((folder / "notify").string());
  ServiceNotifier().status("a\nREADY=1");
  CHECK(manager.heard() == "STATUS=a READY=1");
}

TEST_CASE("nobody is told without a service manager, or with one that is gone") {
  ServiceNotifier().ready("unheard");
  CHECK_FALSE(ServiceNotifier().listens());
  const test::TemporaryDirectory folder;
  ::setenv("NOTIFY_SOCKET", (folder / "gone").c_str(), 1);
  ServiceNotifier().ready("unheard");
  ::setenv("NOTIFY_SOCKET", std::string(300, '/').c_str(), 1);
  ServiceNotifier().ready("unheard");
  ::unsetenv("NOTIFY_SOCKET");
}

TEST_CASE("the watchdog is the one that waits for this process") {
  const test::TemporaryDirectory folder;
  const ServiceManager manager((folder / "notify").string());
  CHECK_FALSE(ServiceNotifier().watchdog());
  ::setenv("WATCHDOG_USEC", "60000000", 1);
  CHECK(ServiceNotifier().watchdog() == std::chrono::minutes(1));
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  CHECK(ServiceNotifier().watchdog() == std::chrono::minutes(1));
  ::setenv("WATCHDOG_PID", std::to_string(::getpid() + 1).c_str(), 1);
  CHECK_FALSE(ServiceNotifier().watchdog());
  ::unsetenv("WATCHDOG_PID");
  for (const char* wrong : {"", "soon", "0", "-1", "60s"}) {
    ::setenv("WATCHDOG_USEC", wrong, 1);
    CHECK_FALSE(ServiceNotifier().watchdog());
  }
}

}  // namespace dstack::os
