#include "common/os/signals.h"

#include <catch2/catch_test_macros.hpp>
#include <csignal>

using namespace dstack::os;

TEST_CASE("a signal is known by its name and by its number") {
  CHECK(signal_name(SIGTERM) == "SIGTERM");
  CHECK(signal_number("SIGTERM") == SIGTERM);
  CHECK_FALSE(signal_name(0));
  CHECK_FALSE(signal_name(SIGRTMIN + 1));
  CHECK_FALSE(signal_number("TERM"));
  for (int number = 1; number < 32; ++number) {
    if (const auto name = signal_name(number)) CHECK(signal_number(*name) == number);
  }
}
