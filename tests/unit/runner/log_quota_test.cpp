#include <catch2/catch_test_macros.hpp>

#include "runner/logs/quota.h"

using namespace dstack;
using namespace std::chrono_literals;

TEST_CASE("a quota grants up to its bytes in each hour since its start") {
  runner::Quota quota;
  const os::SteadyTime start{100h};
  quota.start(100, start);
  CHECK(quota.take(60, start + 1min) == 60);
  CHECK(quota.take(40, start + 59min) == 40);
  CHECK_FALSE(quota.exceeded());
  CHECK(quota.take(100, start + 60min) == 100);
  CHECK(quota.take(1, start + 119min) == 0);
  CHECK(quota.exceeded());
  CHECK(quota.take(1, start + 120min) == 0);
}

TEST_CASE("a quota grants the part that still fits") {
  runner::Quota quota;
  quota.start(100, {});
  CHECK(quota.take(150, {}) == 100);
  CHECK(quota.exceeded());
}

TEST_CASE("no quota grants everything") {
  runner::Quota quota;
  CHECK(quota.take(UINT32_MAX, {}) == UINT32_MAX);
  quota.start(0, {});
  CHECK(quota.take(UINT32_MAX, {}) == UINT32_MAX);
  CHECK_FALSE(quota.exceeded());
}
