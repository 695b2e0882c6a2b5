#include "common/os/repeating_thread.h"

#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <optional>
#include <stop_token>
#include <thread>

#include "tests/support/fake_clock.h"

namespace {

using namespace dstack;
using namespace std::chrono_literals;

TEST_CASE("work on a thread is done after each interval, which it can change") {
  test::FakeClock clock;
  int done = 0;
  std::optional<os::RepeatingThread> thread;
  thread.emplace(
      "count", 2s,
      [&](const std::stop_token&) {
        if (++done == 2) thread->set_interval(60s);
      },
      clock);
  const auto next_pause = [&] {
    const auto before = clock.now();
    while (!clock.end_next_wait(60s)) std::this_thread::yield();
    return clock.now() - before;
  };
  CHECK(next_pause() == 2s);
  CHECK(next_pause() == 2s);
  CHECK(next_pause() == 60s);
  CHECK(next_pause() == 60s);
  // Waits for the work that has begun.
  thread.reset();
  CHECK(done >= 3);
}

}  // namespace
