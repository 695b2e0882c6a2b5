#include "runner/repo/url.h"

#include <catch2/catch_test_macros.hpp>

#include "common/error.h"

using namespace dstack;
using namespace dstack::runner::repo;

TEST_CASE("an address is taken apart") {
  const Url url = parse_url("HTTPS://me:secret@Example.COM:8443/a/b.git").value();
  CHECK(url.scheme == "https");
  CHECK(url.user == "me");
  CHECK(url.host == "example.com");
  CHECK(url.port == "8443");
  CHECK(url.path == "/a/b.git");
}

TEST_CASE("an IPv6 address keeps its colons") {
  CHECK(parse_url("ssh://git@[::1]:22/x").value().host == "[::1]");
  CHECK(parse_url("ssh://git@[::1]:22/x").value().port == "22");
  CHECK(parse_url("https://[::1]/x").value().port.empty());
}

TEST_CASE("git's short form is an ssh address") {
  const Url url = parse_url("git@example.com:a/b").value();
  CHECK(url.scheme == "ssh");
  CHECK(url.user == "git");
  CHECK(url.host == "example.com");
  CHECK(url.path == "a/b");
  CHECK(url.short_form);
}

TEST_CASE("a path is no address") {
  for (const char* text : {"", "/etc", "../x", "./a:b", "name", ":x", "https://"}) CHECK_FALSE(parse_url(text));
}

TEST_CASE("an address is shown without its password and without what a signature in its query gives away") {
  CHECK(without_secrets("https://example.com/a?X-Signature=secret#x") == "https://example.com/a");
  CHECK(without_secrets("https://me:secret@example.com/a@b") == "https://example.com/a@b");
  CHECK(without_secrets("https://example.com/a@b") == "https://example.com/a@b");
  CHECK(without_secrets("git@example.com:a") == "git@example.com:a");
}

TEST_CASE("a submodule's relative address is relative to the one of its parent") {
  CHECK(resolve_submodule_url("../b.git", "https://x.com/g/a.git") == "https://x.com/g/b.git");
  CHECK(resolve_submodule_url("../../h/b", "https://x.com/g/a/") == "https://x.com/h/b");
  CHECK(resolve_submodule_url("./b", "https://x.com/g/a") == "https://x.com/g/a/b");
  CHECK(resolve_submodule_url("../b", "git@x.com:g/a") == "git@x.com:g/b");
  CHECK(resolve_submodule_url("../b", "git@x.com:a") == "git@x.com:b");
  CHECK(resolve_submodule_url("../b", "ssh://git@x.com:2222/g/a") == "ssh://git@x.com:2222/g/b");
  CHECK(resolve_submodule_url("https://y.com/b", "https://x.com/a") == "https://y.com/b");
}

TEST_CASE("a submodule's relative address does not lead out of the host") {
  CHECK_THROWS_AS(resolve_submodule_url("../../../b", "https://x.com/g/a"), Error);
  CHECK_THROWS_AS(resolve_submodule_url("../../b", "git@x.com:a"), Error);
  CHECK_THROWS_AS(resolve_submodule_url("../x", "https://x.com"), Error);
}
