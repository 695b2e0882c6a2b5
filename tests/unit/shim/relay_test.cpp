#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "common/server_api/relay_listen.h"
#include "shim/relay/relay.h"

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

}  // namespace dstack::shim::relay
