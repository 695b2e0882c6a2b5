#include "shim/client/retry.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <string>
#include <vector>

#include "common/error.h"
#include "tests/support/fake_clock.h"

using namespace dstack;
using namespace dstack::shim::client;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

// Attempts to terminate a task, of which the first ones fail.
struct Attempts {
  test::FakeClock clock;
  std::vector<std::string> notes;
  int failures = 0;
  ErrorKind kind = ErrorKind::unavailable;
  int made = 0;
  int patience = 1000;  // pauses until the person gives up

  void run() {
    const auto attempt = [this] {
      if (made++ < failures) throw Error(kind, "umount /mnt/v: busy\x1b[2J");
    };
    const auto pause = [this](std::chrono::milliseconds length) {
      clock.advance(length);
      return patience-- > 0;
    };
    const auto note = [this](std::string_view text) { notes.emplace_back(text); };
    retry("terminate job", attempt, {.pause = pause, .note = note, .limit = 120s}, clock);
  }
};

}  // namespace

TEST_CASE_METHOD(Attempts, "what works at once is said nothing of") {
  run();
  CHECK(made == 1);
  CHECK(notes.empty());
}

TEST_CASE_METHOD(Attempts, "a shim that cannot do it yet is asked again, and the person is told once and legibly") {
  failures = 3;
  run();
  CHECK(made == 4);
  CHECK(notes == std::vector<std::string>{"terminate job: umount /mnt/v: busy\\x1b[2J; retrying for up to 120 s"});
}

TEST_CASE_METHOD(Attempts, "after the limit the last failure is told, and what to do") {
  failures = 1000;
  CHECK_THROWS_WITH(run(), ContainsSubstring("busy") && ContainsSubstring("dstack-shim rm --force"));
  CHECK(made == 121);
}

TEST_CASE_METHOD(Attempts, "a person who gives up does not wait for the limit") {
  failures = 1000;
  patience = 2;
  CHECK_THROWS_WITH(run(), ContainsSubstring("dstack-shim ps"));
  CHECK(made == 3);
}

TEST_CASE_METHOD(Attempts, "a task that is not there any more is done, and a refusal is not asked about again") {
  failures = 1000;
  kind = ErrorKind::not_found;
  run();
  kind = ErrorKind::conflict;
  CHECK_THROWS_AS(run(), Error);
  CHECK(made == 2);
  CHECK(notes.empty());
}
