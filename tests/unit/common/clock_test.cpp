#include "common/os/clock.h"

#include <poll.h>
#include <sys/timerfd.h>

#include <catch2/catch_test_macros.hpp>
#include <format>
#include <string>

#include "common/os/file.h"

using namespace dstack;
using namespace std::chrono_literals;

TEST_CASE("a timer of the machine takes a deadline that milliseconds in 32 bits do not hold") {
  const auto timer = os::system_clock().make_timer();
  constexpr auto far = std::chrono::hours(24 * 60);
  timer->arm(os::system_clock().now() + far);
  itimerspec left{};
  REQUIRE(::timerfd_gettime(timer->fd(), &left) == 0);
  CHECK(left.it_value.tv_sec <= std::chrono::seconds(far).count());
  CHECK(left.it_value.tv_sec > std::chrono::seconds(far - 1h).count());
  pollfd fires{.fd = timer->fd(), .events = POLLIN, .revents = 0};
  CHECK(::poll(&fires, 1, 0) == 0);
}

TEST_CASE("deadlines are of the clock that stands still while the machine is suspended") {
  const auto timer = os::system_clock().make_timer();
  const std::string about = os::read_file(std::format("/proc/self/fdinfo/{}", timer->fd()));
  CHECK(about.contains(std::format("clockid: {}\n", CLOCK_MONOTONIC)));
}
