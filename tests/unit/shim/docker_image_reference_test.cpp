#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "common/error.h"
#include "shim/docker/image_reference.h"

using namespace dstack;
using namespace dstack::shim::docker;

namespace {
const std::string kDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
}

TEST_CASE("an image without tag or digest means latest") {
  const ImageReference reference = parse_image_reference("ubuntu");
  CHECK(reference == ImageReference{.repository = "ubuntu", .tag = "latest", .digest = ""});
  CHECK(reference.name() == "ubuntu:latest");
  CHECK(reference.is_latest());
  CHECK(parse_image_reference("ubuntu:latest").is_latest());
}

TEST_CASE("a tag other than latest stands still, even if latest is in its name") {
  CHECK_FALSE(parse_image_reference("ubuntu:24.04").is_latest());
  CHECK_FALSE(parse_image_reference("ubuntu:latest-cuda").is_latest());
}

TEST_CASE("the port of a registry is not a tag") {
  const ImageReference untagged = parse_image_reference("registry.example:5000/team/app");
  CHECK(untagged.repository == "registry.example:5000/team/app");
  CHECK(untagged.tag == "latest");
  const ImageReference tagged = parse_image_reference("127.0.0.1:5000/busybox:1");
  CHECK(tagged.repository == "127.0.0.1:5000/busybox");
  CHECK(tagged.tag == "1");
  CHECK(parse_image_reference("[::1]:5000/app").repository == "[::1]:5000/app");
}

TEST_CASE("a digest needs no tag and is never latest") {
  const ImageReference reference = parse_image_reference("team/app@" + kDigest);
  CHECK(reference == ImageReference{.repository = "team/app", .tag = "", .digest = kDigest});
  CHECK(reference.name() == "team/app@" + kDigest);
  CHECK_FALSE(reference.is_latest());
}

TEST_CASE("a tag beside a digest is kept, the digest decides") {
  const ImageReference reference = parse_image_reference("localhost/app:latest@" + kDigest);
  CHECK(reference.tag == "latest");
  CHECK(reference.name() == "localhost/app:latest@" + kDigest);
  CHECK_FALSE(reference.is_latest());
}

TEST_CASE("names that engines accept are accepted") {
  const std::string name =
      GENERATE("a", "a__b/c.d-e", "HOST/app", "gcr.io/Proj.x/a" /* refused below */, "r:5/a:B.c-d_E");
  if (name == "gcr.io/Proj.x/a") {
    CHECK_THROWS_AS(parse_image_reference(name), Error);
  } else {
    CHECK_NOTHROW(parse_image_reference(name));
  }
}

TEST_CASE("what cannot be an image's name is refused") {
  const std::string name = GENERATE(
      std::string(""), std::string(":1"), std::string("a:"), std::string("a:b:c"), std::string("a b"),
      std::string("a\nb"), std::string("a\0b", 3), std::string("A"), std::string("/a"), std::string("a/"),
      std::string("a//b"), std::string("../a"), std::string("a/../b"), std::string("-a"), std::string("a?x=1"),
      std::string("a#b"), std::string("a%2e"), std::string("a@"), std::string("a@sha256:12"), std::string("a@sha256"),
      std::string("a:-x"), std::string("ä"), "a:" + std::string(129, 'x'), std::string(10240, 'a'));
  CHECK_THROWS_AS(parse_image_reference(name), Error);
}

TEST_CASE("a reference knows the registry that its credentials are for") {
  CHECK(parse_image_reference("registry.example:5000/team/app:1").server_address() == "registry.example:5000");
  CHECK(parse_image_reference("ghcr.io/team/app").server_address() == "ghcr.io");
  CHECK(parse_image_reference("localhost/app").server_address() == "localhost");
  for (const char* hub : {"app", "team/app:1", "docker.io/team/app", "index.docker.io/app"})
    CHECK(parse_image_reference(hub).server_address() == "https://index.docker.io/v1/");
}
