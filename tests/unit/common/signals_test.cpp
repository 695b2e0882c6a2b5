#include "common/os/signals.h"

#include <catch2/catch_test_macros.hpp>
#include <csignal>

using namespace dstack::os;

TEST_CASE("a signal is known by its name and by its number") {
  CHECK(signal_name(SIGTERM) == "SIGTERM");
  CHECK(signal_number("SIGTERM") == SIGTERM);
  CHECK(signal_name(34) == "SIGRTMIN");
  CHECK(signal_name(35) == "SIGRTMIN+1");
  for (int number = 1; number <= 64; ++number) {
    CAPTURE(number);
    const auto name = signal_name(number);
    REQUIRE(name);
    CHECK(signal_number(*name) == number);
  }
  CHECK_FALSE(signal_name(0));
  CHECK_FALSE(signal_name(65));
  for (const char* name : {"TERM", "SIG", "SIG15", "SIGRTMIN+0", "SIGRTMIN+31"}) CHECK_FALSE(signal_number(name));
}
