#include "common/http/connection_threads.h"

#include <catch2/catch_test_macros.hpp>
#include <latch>
#include <set>
#include <thread>

using dstack::http::ConnectionThreads;

TEST_CASE("every connection runs at once, however many are open") {
  ConnectionThreads threads(2, 100);
  constexpr int count = 50;
  std::latch all_running(count);
  for (int i = 0; i < count; ++i) REQUIRE(threads.run([&] { all_running.arrive_and_wait(); }));
  threads.finish();
  CHECK(all_running.try_wait());
}

TEST_CASE("a connection beyond the limit is refused while the others run") {
  ConnectionThreads threads(0, 2);
  std::latch release(1);
  REQUIRE(threads.run([&] { release.wait(); }));
  REQUIRE(threads.run([&] { release.wait(); }));
  CHECK_FALSE(threads.run([] {}));
  release.count_down();
  threads.finish();
}

TEST_CASE("nothing is taken once the end has begun") {
  ConnectionThreads threads(1, 2);
  threads.finish();
  CHECK_FALSE(threads.run([] {}));
}
