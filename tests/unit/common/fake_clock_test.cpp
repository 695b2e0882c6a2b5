#include "tests/support/fake_clock.h"

#include <poll.h>

#include <catch2/catch_test_macros.hpp>
#include <thread>

using namespace std::chrono_literals;
using dstack::test::FakeClock;

namespace {

bool is_readable(int fd) {
  pollfd waiting{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&waiting, 1, 0) == 1;
}

}  // namespace

TEST_CASE("a timer of the fake clock fires when the clock is turned to its deadline, not before") {
  FakeClock clock;
  const auto timer = clock.make_timer();
  timer->arm(clock.now() + 5s);
  clock.advance(4999ms);
  CHECK_FALSE(is_readable(timer->fd()));
  clock.advance(1ms);
  CHECK(is_readable(timer->fd()));
  timer->disarm();
  CHECK_FALSE(is_readable(timer->fd()));
}

TEST_CASE("a timer of the fake clock that is armed for the past fires at once") {
  FakeClock clock;
  const auto timer = clock.make_timer();
  timer->arm(clock.now() - 1s);
  CHECK(is_readable(timer->fd()));
}

TEST_CASE("a wait on the fake clock ends when the clock is turned") {
  FakeClock clock;
  std::mutex mutex;
  std::condition_variable changed;
  bool result = true;
  std::thread waiter([&] {
    std::unique_lock lock(mutex);
    result = clock.wait_until(lock, changed, clock.now() + 1h, [] { return false; });
  });
  clock.await_waiters();
  clock.advance(1h);
  waiter.join();
  CHECK_FALSE(result);
}

TEST_CASE("a wait on the fake clock ends when its condition becomes true") {
  FakeClock clock;
  std::mutex mutex;
  std::condition_variable changed;
  bool ready = false;
  bool result = false;
  std::thread waiter([&] {
    std::unique_lock lock(mutex);
    result = clock.wait_until(lock, changed, clock.now() + 1h, [&] { return ready; });
  });
  clock.await_waiters();
  {
    const std::scoped_lock lock(mutex);
    ready = true;
  }
  changed.notify_all();
  waiter.join();
  CHECK(result);
}

TEST_CASE("the system clock's timer fires once its deadline has passed") {
  const auto timer = dstack::os::system_clock().make_timer();
  timer->arm(dstack::os::system_clock().now() - 1s);
  pollfd waiting{.fd = timer->fd(), .events = POLLIN, .revents = 0};
  CHECK(::poll(&waiting, 1, -1) == 1);
  timer->disarm();
  CHECK_FALSE(is_readable(timer->fd()));
}
