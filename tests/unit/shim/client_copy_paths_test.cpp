#include <catch2/catch_test_macros.hpp>

#include "common/error.h"
#include "shim/client/copy_paths.h"

using namespace dstack::shim::client;

TEST_CASE("an argument of cp is a task's path unless it is absolute, begins with a dot or has no colon") {
  CHECK(parse_copy_side("job:/a:b").task == "job");
  CHECK(parse_copy_side("job:/a:b").path == "/a:b");
  CHECK(parse_copy_side("job:").path.empty());
  for (const char* path : {"/a:b", "./a:b", "../a:b", "a", ":a", "-"}) {
    CHECK_FALSE(parse_copy_side(path).task);
    CHECK(parse_copy_side(path).path == path);
  }
  CHECK(parse_copy_side("-").is_stream());
  CHECK_FALSE(parse_copy_side("job:-").is_stream());
}

TEST_CASE("a path is taken apart whatever it ends with") {
  CHECK(without_ending("/a/b/./") == "/a/b");
  CHECK(without_ending("/") == "/");
  CHECK(without_ending("/.") == "/");
  CHECK(without_ending("./") == ".");
  CHECK(last_component("/a/b/.") == "b");
  CHECK(last_component("/").empty());
  CHECK(parent_of("/a") == "/");
  CHECK(parent_of("a/") == ".");
  CHECK(parent_of("/a/b") == "/a");
}

TEST_CASE("where a copy lands follows docker's rules") {
  using enum PathKind;
  CHECK(landing_of("/f", other, "/d", folder) == Landing{"/d", "f"});
  CHECK(landing_of("/t", folder, "/d", folder) == Landing{"/d", "t"});
  CHECK(landing_of("/t/.", folder, "/d", folder) == Landing{"/d", ""});
  CHECK(landing_of("/t/.", folder, "/new", missing) == Landing{"/", "new"});
  CHECK(landing_of("/t", folder, "/new/", missing) == Landing{"/", "new"});
  CHECK(landing_of("/f", other, "/d/g", other) == Landing{"/d", "g"});
  CHECK_THROWS_AS(landing_of("/t", folder, "/g", other), dstack::Error);
  CHECK_THROWS_AS(landing_of("/f", other, "/new/", missing), dstack::Error);
  CHECK_THROWS_AS(landing_of("/f", other, "/g/", other), dstack::Error);
  CHECK_THROWS_AS(landing_of("/f/", other, "/d", folder), dstack::Error);
}
