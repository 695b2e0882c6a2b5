#include "runner/join/runner_name.h"

#include <catch2/catch_test_macros.hpp>

#include "common/command_error.h"
#include "runner/join/relay_address.h"

namespace dstack::runner::join {

TEST_CASE("a host's name is made to fit a fleet's") {
  CHECK(runner_name_of("sugar-1") == "sugar-1");
  CHECK(runner_name_of("MBP-de-Boris.fritz.box") == "mbp-de-boris-fritz-box");
  CHECK(runner_name_of("gpu__host..2") == "gpu-host-2");
  CHECK(runner_name_of("10-0-0-1") == "r-10-0-0-1");
  CHECK(runner_name_of("_x") == "r-x");
  CHECK(runner_name_of("") == "r-");
  CHECK(runner_name_of("a") == "r-a");
  CHECK(runner_name_of(std::string(80, 'x')).size() == 41);
  for (const char* host : {"", "-", "a", "--", "Ünï.code", "1", "x.", "localhost"})
    CHECK(is_runner_name(runner_name_of(host)));
}

TEST_CASE("a numbered name keeps within the server's limit") {
  CHECK(numbered("host", 2) == "host-2");
  const std::string name = numbered(std::string(41, 'x'), 12);
  CHECK(name.size() == 41);
  CHECK(name.ends_with("x-12"));
  CHECK(is_runner_name(name));
}

TEST_CASE("a name that the server refuses is not a runner's") {
  for (const char* name : {"", "a", "A1", "1a", "-a", "a_b", "a b", "a.b"}) CHECK_FALSE(is_runner_name(name));
  CHECK_FALSE(is_runner_name(std::string(42, 'x')));
  CHECK(is_runner_name(std::string(41, 'x')));
}

TEST_CASE("a relay is a host with or without a port, and never a flag of ssh") {
  CHECK(parse_host_port("relay.example") == HostPort{"relay.example", 22});
  CHECK(parse_host_port("relay:2222") == HostPort{"relay", 2222});
  CHECK(parse_host_port("[::1]:2222") == HostPort{"::1", 2222});
  CHECK(parse_host_port("::1") == HostPort{"::1", 22});
  for (const char* text :
       {"", "-oProxyCommand=x", "host:", "host:0", "host:65536", "host:x", "a b", "[::1", "user@host"})
    CHECK_FALSE(parse_host_port(text));
  CHECK_NOTHROW(check_relay("none"));
  CHECK_THROWS_AS(check_relay("a b"), CommandError);
}

}  // namespace dstack::runner::join
