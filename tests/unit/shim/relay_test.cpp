#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "common/server_api/relay_listen.h"
#include "shim/relay/relay.h"
#include "tests/support/fake_dstack_server.h"

namespace dstack::shim::relay {

using Catch::Matchers::ContainsSubstring;

namespace {

server_api::Project project() {
  server_api::Project made{.name = "p"};
  made.members.push_back(
      {.user = {.id = "u1", .name = "ann", .ssh_public_key = "ssh-rsa AAAAann ann@dstack\n"}, .role = "user"});
  made.members.push_back({.user = {.id = "u2", .name = "bea", .ssh_public_key = ""}, .role = "user"});
  return made;
}

}  // namespace

TEST_CASE("relay: each user has 32 addresses of the loopback interface that follow from the id") {
  CHECK(server_api::relay_listen_address("u1", 32).ends_with(".32"));
  CHECK(server_api::relay_listen_address("abc", 1) == "127.122.120.1");  // sha256("abc") begins with ba 78
}

TEST_CASE("relay: a member's key may listen on the member's addresses and do nothing else") {
  const auto line = key_line(project(), "AAAAann");
  REQUIRE(line);
  CHECK_THAT(*line, ContainsSubstring(
                        "restrict,port-forwarding,command=\"/usr/local/bin/dstack-shim relay hold\",permitlisten=\""));
  CHECK_THAT(*line, ContainsSubstring(server_api::relay_listen_address("u1", 32) + ":2222\" ssh-rsa AAAAann"));
  CHECK(line->ends_with(" ssh-rsa AAAAann"));
  CHECK_FALSE(line->contains('\n'));
}

TEST_CASE("relay: any other key has no line") {
  for (const char* blob : {"AAAA", "", "AAAAann\nssh-rsa X", "AAAA ann", "\"", "ann@dstack"})
    CHECK_FALSE(key_line(project(), blob));
}

TEST_CASE("relay install: the token's user must be a member of the project") {
  using nlohmann::json;
  const json ann = {{"id", "u1"}, {"username", "ann"}, {"global_role", "user"}};
  test::FakeDstackServer server;
  server.set("users/get_my_user", 200, ann);
  const auto set_members = [&server](const json& members) {
    server.set("projects/p/get", 200, {{"project_name", "p"}, {"backends", json::array()}, {"members", members}});
  };
  const server_api::Given given{.token = "secret", .server = server.account().url, .project = "p"};

  // A public project answers any user.
  set_members(json::array());
  try {
    account_of_member(given);
    FAIL("taken");
  } catch (const server_api::Failure& failure) {
    CHECK(failure.exit_status() == 77);
    CHECK(std::string(failure.what()) == "ann is no member of project p");
  }

  set_members({{{"user", ann}, {"project_role", "user"}}});
  CHECK(account_of_member(given).project == "p");
}

}  // namespace dstack::shim::relay
