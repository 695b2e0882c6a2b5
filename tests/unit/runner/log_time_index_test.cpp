#include <catch2/catch_test_macros.hpp>

#include "runner/logs/time_index.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;

TEST_CASE("a moment's output begins at most half a second before it, and none of it is left out") {
  const test::TemporaryDirectory folder;
  runner::TimeIndex index(folder / "times");
  index.add(10'000, 0);
  index.add(10'400, 100);  // within the half second of the first
  index.add(10'700, 200);
  index.add(60'000, 300);
  CHECK(index.find(0, 400) == 0);
  CHECK(index.find(10'000, 400) == 0);
  CHECK(index.find(10'499, 400) == 0);
  CHECK(index.find(10'500, 400) == 200);
  CHECK(index.find(10'700, 400) == 200);
  CHECK(index.find(30'000, 400) == 300);
  CHECK(index.find(60'001, 400) == 300);
  CHECK(index.find(60'500, 400) == 400);
  CHECK(index.find(99'000, 400) == 400);
}

TEST_CASE("with no output every moment is at the beginning") {
  const test::TemporaryDirectory folder;
  const runner::TimeIndex index(folder / "times");
  CHECK(index.find(5, 0) == 0);
}
