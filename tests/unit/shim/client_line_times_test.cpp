#include <catch2/catch_test_macros.hpp>

#include "shim/client/line_times.h"
#include "tests/support/fake_clock.h"

using namespace dstack;
using namespace dstack::shim::client;

TEST_CASE("a moment is given as docker takes it") {
  const test::FakeClock clock;
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(clock.wall().time_since_epoch()).count();
  CHECK(parse_moment("1700000000", clock) == 1700000000000);
  CHECK(parse_moment("1700000000.25", clock) == 1700000000000);
  CHECK(parse_moment("10m", clock) == now - 600'000);
  CHECK(parse_moment("1h30m", clock) == now - 5'400'000);
  CHECK(parse_moment("2026-11-28", clock) == 1795824000000);
  CHECK(parse_moment("2026-11-28T10:00:00", clock) == 1795860000000);
  CHECK(parse_moment("2026-11-28T10:00:00.5Z", clock) == 1795860000500);
  CHECK(parse_moment("2026-11-28T11:00:00.123456789+01:00", clock) == 1795860000123);
  for (const char* wrong : {"", "yesterday", "-5", "10x", "2026-13-45", "2026-11-28T10:00:00+1"}) {
    INFO(wrong);
    CHECK_FALSE(parse_moment(wrong, clock));
  }
}
