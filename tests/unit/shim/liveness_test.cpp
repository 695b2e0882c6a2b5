#include "shim/liveness.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <cstring>
#include <string>

#include "common/os/unique_fd.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_directory.h"

namespace dstack::shim {

namespace {

// A service manager with a watchdog of a minute; counts how often it was kept quiet.
class Watchdog {
 public:
  Watchdog() : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    const std::string path = (folder_ / "notify").string();
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::memcpy(at.sun_path, path.data(), path.size());
    REQUIRE(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
    ::setenv("WATCHDOG_USEC", "60000000", 1);
  }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog() {
    ::unsetenv("NOTIFY_SOCKET");
    ::unsetenv("WATCHDOG_USEC");
  }

  int heard() const {
    int count = 0;
    std::array<char, 64> buffer{};
    while (::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT) > 0) ++count;
    return count;
  }

 private:
  test::TemporaryDirectory folder_;
  os::UniqueFd socket_;
};

}  // namespace

TEST_CASE("the watchdog hears twice within its limit from a shim that answers, and nothing from one that hangs") {
  const Watchdog watchdog;
  os::ServiceNotifier notifier;
  test::FakeClock clock;
  std::atomic<bool> well = true;
  std::atomic<int> asked = 0;
  const Liveness liveness(
      notifier,
      [&] {
        ++asked;
        asked.notify_all();
        return well.load();
      },
      clock);
  asked.wait(0);
  clock.await_waiters();
  CHECK(watchdog.heard() == 1);
  const auto turn = [&] {
    const int before = asked;
    clock.advance(std::chrono::seconds(30));
    asked.wait(before);
    clock.await_waiters();
  };
  for (int i = 0; i < 4; ++i) turn();
  CHECK(watchdog.heard() == 4);
  well = false;
  turn();
  turn();
  CHECK(watchdog.heard() == 0);
}

TEST_CASE("without a watchdog nobody is asked") {
  os::ServiceNotifier notifier;
  bool asked = false;
  {
    const Liveness liveness(notifier, [&asked] { return asked = true; });
  }
  CHECK_FALSE(asked);
}

}  // namespace dstack::shim
