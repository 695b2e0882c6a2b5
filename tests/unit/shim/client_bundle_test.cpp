#include <catch2/catch_test_macros.hpp>

#include "shim/client/scrub.h"
#include "shim/client/tar_text.h"

using namespace dstack::shim::client;

TEST_CASE("what looks like a secret is removed from a bug report's text") {
  CHECK(scrub("plain text: 12:30, a=b\n\nend\n") == "plain text: 12:30, a=b\n\nend\n");
  CHECK(scrub("GET https://u:p@host/path?X-Amz-Signature=abc failed") ==
        "GET https://[removed]@host/path?[removed] failed");
  CHECK(scrub("see http://host:80/a@b, ok") == "see http://host:80/a@b, ok");
  CHECK(scrub("Authorization: Bearer abc.def") == "Authorization: Bearer [removed]");
  CHECK(scrub(R"({"runner_token": "abc", "name": "x"})") == R"({"runner_token": "[removed]", "name": "x"})");
  CHECK(scrub("PASSWORD=hunter2 next") == "PASSWORD=[removed] next");
  CHECK(scrub("AWS_SECRET_ACCESS_KEY=abc") == "AWS_SECRET_ACCESS_KEY=[removed]");
  CHECK(scrub("tokens are not printed") == "tokens are not printed");
}

TEST_CASE("an archive has a header and whole blocks for each file") {
  TarText tar;
  tar.add("a/b.txt", "hello", 1);
  tar.add("empty", "", 1);
  const std::string bytes = std::move(tar).finish();
  CHECK(bytes.size() == 512 * (2 + 1 + 2));
  CHECK(bytes.starts_with("a/b.txt"));
  CHECK(bytes.substr(257, 5) == "ustar");
  CHECK(bytes.substr(512, 5) == "hello");
  CHECK(bytes.substr(124, 11) == "00000000005");
}
