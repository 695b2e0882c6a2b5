#include <catch2/catch_test_macros.hpp>
#include <sstream>

#include "shim/client/pull_display.h"
#include "tests/support/fake_clock.h"

using namespace dstack;
using namespace dstack::shim::client;
using namespace std::chrono_literals;

namespace {

TaskEntry pulling(std::int64_t downloaded, std::int64_t total = 100'000'000, std::int64_t extracted = 0) {
  TaskEntry task;
  task.status = "pulling";
  task.pull = PullView{.downloaded = downloaded, .extracted = extracted, .total = total, .total_is_final = true};
  return task;
}

}  // namespace

TEST_CASE("a bar shows bytes, speed and the time that is left") {
  test::FakeClock clock;
  std::ostringstream out;
  PullDisplay display(out, 80, clock);
  display.show(pulling(0));
  clock.advance(1s);
  display.show(pulling(20'000'000));
  CHECK(out.str().ends_with("\rpulling [####                ] 20.0 MB of 100.0 MB, 20.0 MB/s, 4 s left\033[K"));
  // Over the last seconds: a stall shows.
  for (int i = 0; i < 5; ++i) {
    clock.advance(1s);
    display.show(pulling(20'000'000));
  }
  CHECK(out.str().ends_with("20.0 MB of 100.0 MB, 0.0 MB/s\033[K"));
  clock.advance(1s);
  display.show(pulling(100'000'000, 100'000'000, 50'000'000));
  CHECK(out.str().ends_with("\runpacking [##########          ] 50.0 MB of 100.0 MB\033[K"));
  display.finish();
  CHECK(out.str().ends_with("\n"));
}

TEST_CASE("a pull that waits for the downloads of others says so") {
  test::FakeClock clock;
  std::ostringstream out;
  PullDisplay display(out, std::nullopt, clock);
  TaskEntry task = pulling(0);
  task.pull->activity = "waiting";
  display.show(task);
  CHECK(out.str() == "pulling\nwaiting for other pulls: 0.0 MB of 100.0 MB\n");
}

TEST_CASE("a bar is never wider than the terminal") {
  test::FakeClock clock;
  std::ostringstream out;
  PullDisplay display(out, 30, clock);
  display.show(pulling(10));
  CHECK(out.str() == "\rpulling [          ] 0.0 MB …\033[K");
}

TEST_CASE("without a terminal a pull is a line every five seconds at most") {
  test::FakeClock clock;
  std::ostringstream out;
  PullDisplay display(out, std::nullopt, clock);
  for (int tick = 0; tick <= 100; ++tick) {
    display.show(pulling(tick * 1'000'000));
    clock.advance(100ms);
  }
  CHECK(out.str() ==
        "pulling\n"
        "pulling: 0.0 MB of 100.0 MB\n"
        "pulling: 50.0 MB of 100.0 MB, 10.0 MB/s, 5 s left\n"
        "pulling: 100.0 MB of 100.0 MB, 10.0 MB/s\n");
}
