#include <catch2/catch_test_macros.hpp>

#include "runner/logs/stamps.h"
#include "tests/support/fake_clock.h"

using namespace dstack;
using namespace std::chrono_literals;

TEST_CASE("stamps are the wall clock's ms, and several events may share one") {
  test::FakeClock clock;
  runner::Stamps stamps(clock);
  const auto wall = std::chrono::floor<std::chrono::milliseconds>(clock.wall().time_since_epoch()).count();
  CHECK(stamps.take() == wall);
  CHECK(stamps.take() == wall);
  clock.advance(5ms);
  CHECK(stamps.take() == wall + 5);
}

TEST_CASE("what comes after a reader was told is later") {
  test::FakeClock clock;
  runner::Stamps stamps(clock);
  const std::int64_t first = stamps.take();
  CHECK(stamps.tell() == first);
  CHECK(stamps.tell() == first);
  CHECK(stamps.take() == first + 1);
  CHECK(stamps.take() == first + 1);
}

TEST_CASE("stamps go on when the clock is set back an hour") {
  test::FakeClock clock;
  runner::Stamps stamps(clock);
  const std::int64_t before = stamps.take();
  clock.set_wall(clock.wall() - 1h);
  CHECK(stamps.take() == before);
  clock.advance(10s);
  CHECK(stamps.take() == before + 10'000);
  CHECK(stamps.now() == before + 10'000);
}

TEST_CASE("stamps follow a clock that is set forward") {
  test::FakeClock clock;
  runner::Stamps stamps(clock);
  const std::int64_t before = stamps.take();
  clock.set_wall(clock.wall() + 1h);
  CHECK(stamps.take() == before + 3'600'000);
}

TEST_CASE("stamps go on from the latest time when the clock is set forward by mistake and back again") {
  test::FakeClock clock;
  runner::Stamps stamps(clock);
  const std::int64_t before = stamps.take();
  clock.set_wall(clock.wall() + 1h);
  CHECK(stamps.take() == before + 3'600'000);
  clock.set_wall(clock.wall() - 1h);
  clock.advance(10s);
  CHECK(stamps.take() == before + 3'610'000);
  CHECK(stamps.tell() == before + 3'610'000);
  // Further back than it ever was.
  clock.set_wall(clock.wall() - 24h);
  CHECK(stamps.take() == before + 3'610'001);
  clock.advance(1s);
  CHECK(stamps.take() == before + 3'611'000);
}
