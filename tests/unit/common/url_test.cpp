#include "common/http/url.h"

#include <catch2/catch_test_macros.hpp>

using namespace dstack::http;

TEST_CASE("a URL is taken apart as libcurl reads it") {
  const auto url = parse_url("HTTPS://user:word@Example.COM:8443/a/b?c=d&e#f");
  REQUIRE(url);
  CHECK(url->scheme == "https");
  CHECK(url->host == "example.com");
  CHECK(url->base == "https://user:word@Example.COM:8443");
  CHECK(url->path == "/a/b?c=d&e");
  CHECK(parse_url("http://[::1]:80")->host == "::1");
  CHECK(parse_url("http://[::1]:80")->base == "http://[::1]:80");
  CHECK(parse_url("http://host")->path == "/");
  CHECK(parse_url("http://host?q")->path == "/?q");
}

TEST_CASE("what is not an absolute http or https URL is not parsed") {
  for (const char* text : {"", "host", "/path", "http://", "ftp://host/", "file:///etc/passwd", "http://host:99999/",
                           "http://host:x/", "http://ho st/", "http://a@b@"}) {
    INFO(text);
    CHECK_FALSE(parse_url(text));
  }
}

TEST_CASE("a redirect leads from the URL that it came from") {
  CHECK(resolve_url("https://a/b/c?d", "/e?f") == "https://a/e?f");
  CHECK(resolve_url("https://a/b/c", "e") == "https://a/b/e");
  CHECK(resolve_url("https://a/b/c", "//x/y") == "https://x/y");
  CHECK(resolve_url("https://a/b/c", "http://x/y") == "http://x/y");
  CHECK(resolve_url("https://a:1/b", "?q") == "https://a:1/b?q");
  CHECK_FALSE(resolve_url("https://a/b", "http://x:99999/"));
}

TEST_CASE("a URL of this machine is known by its host") {
  for (const char* text : {"http://127.0.0.1:3000", "http://127.1.2.3/", "https://LOCALHOST", "http://[::1]:3000/x"})
    CHECK(is_loopback_url(text));
  for (const char* text : {"http://localhost.example.com", "http://example.com/127.0.0.1",
                           "http://127.0.0.1@example.com", "localhost", "http://10.0.0.1"})
    CHECK_FALSE(is_loopback_url(text));
}
