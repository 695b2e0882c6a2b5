#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>

#include "common/error.h"
#include "shim/drain/drain.h"
#include "tests/support/temporary_directory.h"

namespace dstack::shim {

TEST_CASE("a drained host stays drained, with its reason, when the shim starts again") {
  const test::TemporaryDirectory home;
  Drain(home.path()).begin("new disk");
  const Drain restarted(home.path());
  CHECK(restarted.reason() == "new disk");
  try {
    restarted.expect_not_drained();
    FAIL("a task was taken");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::exhausted);
    CHECK(error.what() == std::string("this host is drained and takes no new tasks: \"new disk\""));
  }
}

TEST_CASE("a host that is no longer drained takes tasks, after a restart too") {
  const test::TemporaryDirectory home;
  {
    Drain drain(home.path());
    drain.begin("");
    CHECK(drain.reason() == "");
    drain.end();
    CHECK_FALSE(drain.reason());
    drain.end();
  }
  CHECK_NOTHROW(Drain(home.path()).expect_not_drained());
}

TEST_CASE("what cannot be written down has not begun") {
  const test::TemporaryDirectory home;
  Drain drain(home / "missing");
  CHECK_THROWS_AS(drain.begin("x"), Error);
  CHECK_FALSE(drain.reason());
}

}  // namespace dstack::shim
