#include "runner/job/start_when_possible.h"

#include <catch2/catch_test_macros.hpp>
#include <thread>

#include "common/error.h"
#include "common/os/event.h"
#include "runner/job/terminal.h"
#include "runner/job/terminal_reader.h"
#include "tests/support/fake_clock.h"
#include "tests/support/no_more_threads.h"

using namespace dstack;
using namespace dstack::runner::job;
using namespace std::chrono_literals;

namespace {

struct Starts {
  test::FakeClock clock;
  os::Event stop;
  int failures = 0;
  ErrorKind kind = ErrorKind::exhausted;
  std::atomic<int> made = 0;

  bool run() {
    const auto start = [this] {
      if (made++ < failures) throw Error(kind, "start a thread to test: Resource temporarily unavailable");
    };
    return start_when_possible(start, stop.fd(), clock);
  }
};

}  // namespace

TEST_CASE_METHOD(Starts, "what cannot be started for lack of threads is tried again every second") {
  failures = 2;
  bool started = false;
  std::jthread runner([&] { started = run(); });
  for (int second = 0; second < failures; ++second) {
    clock.await_deadline_within(1s);
    clock.advance(1s);
    while (made < second + 2) std::this_thread::yield();
  }
  runner.join();
  CHECK(started);
  CHECK(made == 3);
}

TEST_CASE_METHOD(Starts, "a stop ends the wait for a thread") {
  failures = 1000;
  bool started = true;
  std::jthread runner([&] { started = run(); });
  clock.await_deadline_within(1s);
  stop.set();
  runner.join();
  CHECK_FALSE(started);
}

TEST_CASE_METHOD(Starts, "another failure is not tried again") {
  failures = 1;
  kind = ErrorKind::invalid;
  CHECK_THROWS_AS(run(), Error);
  CHECK(made == 1);
}

TEST_CASE("a terminal whose reader has no thread yet loses nothing") {
  if (!test::NoMoreThreads::possible()) return;
  Terminal terminal;
  std::string output;
  const auto take = [&output](std::string_view text) { output += text; };
  {
    const test::NoMoreThreads limit;
    try {
      const TerminalReader reader(terminal.output(), take);
      FAIL("a thread was made");
    } catch (const std::exception& error) {
      CHECK(error_kind(error) == ErrorKind::exhausted);
    }
  }
  TerminalReader reader(terminal.output(), take);
  REQUIRE(::write(terminal.job_side(), "said\n", 5) == 5);
  reader.begin();
  reader.finish();
  CHECK(output == "said\r\n");
}
