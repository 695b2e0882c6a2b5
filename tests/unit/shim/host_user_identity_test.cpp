#include "shim/host/user_identity.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "common/error.h"
#include "tests/support/fake_tools.h"

using namespace dstack;
using namespace dstack::shim::host;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

ErrorKind kind_of_failure(const std::string& name) {
  try {
    find_user(name);
  } catch (const Error& error) {
    return error.kind();
  }
  return ErrorKind::internal;
}

}  // namespace

TEST_CASE("a user of /etc/passwd is found without getent") {
  test::FakeTools tools;
  tools.hide_all_others();
  const User root = find_user("root");
  CHECK(root.uid == 0);
  CHECK(root.home == "/root");
}

TEST_CASE("a user of a directory service is found by getent") {
  test::FakeTools tools;
  tools.prints("getent", "ann@example.com:*:1200001:1200513:Ann:/home/example.com/ann:/bin/bash\n");
  const User ann = find_user("ann@example.com");
  CHECK(ann.name == "ann@example.com");
  CHECK(ann.uid == 1200001);
  CHECK(ann.gid == 1200513);
  CHECK(ann.home == "/home/example.com/ann");
  CHECK(tools.last_arguments("getent") == "passwd -- ann@example.com");
}

TEST_CASE("a number is not taken for a user's name") {
  test::FakeTools tools;
  tools.prints("getent", "ann:*:1200001:1200513:Ann:/home/ann:/bin/bash\n");
  CHECK(kind_of_failure("1200001") == ErrorKind::not_found);
}

TEST_CASE("an unknown user is not found; a directory service that fails is unavailable") {
  test::FakeTools tools;
  tools.prints("getent", "", 2);
  CHECK_THROWS_MATCHES(find_user("not-there"), Error, MessageMatches(ContainsSubstring("no such user")));
  CHECK(kind_of_failure("not-there") == ErrorKind::not_found);
  tools.prints("getent", "", 3);
  CHECK(kind_of_failure("not-there") == ErrorKind::unavailable);
  tools.prints("getent", "not a line of passwd\n");
  CHECK(kind_of_failure("not-there") == ErrorKind::not_found);
}

TEST_CASE("without getent only users of /etc/passwd are known") {
  test::FakeTools tools;
  tools.hide_all_others();
  CHECK_THROWS_MATCHES(find_user("not-there"), Error, MessageMatches(ContainsSubstring("getent is not installed")));
  CHECK(kind_of_failure("not-there") == ErrorKind::not_found);
}
