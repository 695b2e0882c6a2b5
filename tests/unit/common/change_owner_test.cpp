#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "common/os/change_owner.h"
#include "common/os/file.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;

namespace {

os::UserId owner_of(const std::filesystem::path& path) {
  struct stat status{};
  REQUIRE(::lstat(path.c_str(), &status) == 0);
  return status.st_uid;
}

}  // namespace

TEST_CASE("a tree is given to a user, links without what they lead to", "[os]") {
  if (::geteuid() != 0) SKIP("only root gives files away");
  const test::TemporaryDirectory folder;
  std::filesystem::create_directories(folder / "tree/a/b");
  std::filesystem::create_directory(folder / "other");
  std::filesystem::create_directory_symlink(folder / "other", folder / "tree/link");
  os::replace_file(folder / "tree/a/b/file", "x", 0600);
  os::replace_file(folder / "other/file", "x", 0600);
  const auto tree = folder / "tree";
  CHECK_FALSE(os::has_other_owners(tree, 0, ::getegid()));
  CHECK(os::has_other_owners(tree, 4321, 4321));
  std::vector<std::string> problems;
  os::change_owner(tree, 4321, 4321, [&](const std::string& message) { problems.push_back(message); });
  CHECK(problems.empty());
  for (const char* path : {"tree", "tree/a", "tree/a/b", "tree/a/b/file", "tree/link"}) {
    CAPTURE(path);
    CHECK(owner_of(folder / path) == 4321);
  }
  CHECK(owner_of(folder / "other") == 0);
  CHECK(owner_of(folder / "other/file") == 0);
  CHECK_FALSE(os::has_other_owners(tree, 4321, 4321));
  REQUIRE(::lchown((tree / "a/b/file").c_str(), 0, 4321) == 0);
  CHECK(os::has_other_owners(tree, 4321, 4321));
}

TEST_CASE("a tree that is not there is a message", "[os]") {
  std::vector<std::string> problems;
  os::change_owner("/absent/tree", ::geteuid(), ::getegid(),
                   [&](const std::string& message) { problems.push_back(message); });
  REQUIRE(problems.size() == 1);
  CHECK(problems.front().contains("/absent/tree"));
}
