#include "common/os/remove_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fstream>

#include "common/os/unique_fd.h"
#include "tests/support/no_more_descriptors.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using Catch::Matchers::ContainsSubstring;
using os::remove_tree;
namespace fs = std::filesystem;

TEST_CASE("what is not there is fine") {
  const test::TemporaryDirectory folder;
  CHECK_NOTHROW(remove_tree(folder.path(), "nothing"));
}

TEST_CASE("a link in the place of the folder is removed, not followed") {
  const test::TemporaryDirectory folder;
  fs::create_directories(folder / "target/inside");
  fs::create_directory_symlink(folder / "target", folder / "link");
  remove_tree(folder.path(), "link");
  CHECK_FALSE(fs::exists(fs::symlink_status(folder / "link")));
  CHECK(fs::exists(folder / "target/inside"));
}

TEST_CASE("a folder that cannot be listed is an error with the system's reason, and stays") {
  const test::TemporaryDirectory folder;
  fs::create_directories(folder / "tree/inside");
  {
    // One for the folder that it lies in, one for the folder.
    const test::NoMoreDescriptors only_two(2);
    CHECK_THROWS_WITH(remove_tree(folder.path(), "tree"), ContainsSubstring("list folder: Too many open files"));
  }
  CHECK(fs::exists(folder / "tree/inside"));
  remove_tree(folder.path(), "tree");
  CHECK_FALSE(fs::exists(folder / "tree"));
}

TEST_CASE("folders nested deeper than a path can name or descriptors can follow are removed") {
  const test::TemporaryDirectory folder;
  fs::create_directory(folder / "tree");
  constexpr int depth = 1200;
  os::UniqueFd at(::open((folder / "tree").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int level = 0; level < depth; ++level) {
    REQUIRE(::mkdirat(at.get(), "a-folder-with-a-name-of-some-length", 0700) == 0);
    at = os::UniqueFd(::openat(at.get(), "a-folder-with-a-name-of-some-length", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    REQUIRE(at);
  }
  at.reset();
  remove_tree(folder.path(), "tree");
  CHECK_FALSE(fs::exists(folder / "tree"));
}

TEST_CASE("names that the removal itself uses do not stop it") {
  const test::TemporaryDirectory folder;
  fs::create_directories(folder / "tree/a/b/c");
  fs::create_directories(folder / "tree/.removing-1/x/y");
  std::ofstream(folder / "tree/.removing-2") << "file";
  remove_tree(folder.path(), "tree");
  CHECK_FALSE(fs::exists(folder / "tree"));
}

TEST_CASE("many entries in many folders are removed") {
  const test::TemporaryDirectory folder;
  for (int outer = 0; outer < 40; ++outer) {
    const fs::path path = folder / "tree" / std::to_string(outer) / "deep";
    fs::create_directories(path);
    for (int inner = 0; inner < 40; ++inner) std::ofstream(path / std::to_string(inner)) << "x";
  }
  remove_tree(folder.path(), "tree");
  CHECK_FALSE(fs::exists(folder / "tree"));
}
