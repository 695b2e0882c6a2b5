#include "runner/files/placement.h"

#include <sys/mount.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fstream>

#include "common/error.h"
#include "common/os/command.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/runner/tree_of.h"

using namespace dstack;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
namespace fs = std::filesystem;
using Contents = std::map<std::string, std::string>;

namespace {

// An archive of the folder "root" with the file "new" in it, and a target that is there already.
struct Place {
  Place() {
    fs::create_directories(folder / "source/root");
    std::ofstream(folder / "source/root/new") << "new";
    make_archive("root");
    fs::create_directories(folder / "home/target/old");
  }
  void make_archive(const std::string& root) const {
    const os::Command tar{.arguments = {"tar", "-cf", folder / "tar", "-C", folder / "source", root}};
    REQUIRE(os::run_command(tar).succeeded());
  }
  void put(const fs::path& path, const std::vector<fs::path>& kept = {}) const {
    files::place_archive(folder / "tar", {path.parent_path(), path.filename()}, kept, std::nullopt,
                         [] { return false; });
  }
  Contents home() const { return test::tree_of(folder / "home"); }

  test::TemporaryDirectory folder;
};

const Contents merged = {{"target", "folder"}, {"target/new", "file new"}, {"target/old", "empty folder"}};
const Contents replaced = {{"target", "folder"}, {"target/new", "file new"}};

}  // namespace

TEST_CASE("an archive replaces what is at its path") {
  const Place place;
  SECTION("a folder") {}
  SECTION("a link to a folder") {
    fs::create_directory(place.folder / "elsewhere");
    std::ofstream(place.folder / "elsewhere/file") << "stays";
    fs::remove_all(place.folder / "home/target");
    fs::create_directory_symlink(place.folder / "elsewhere", place.folder / "home/target");
  }
  place.put(place.folder / "home/target");
  CHECK(place.home() == replaced);
  if (fs::exists(place.folder / "elsewhere")) CHECK(fs::exists(place.folder / "elsewhere/file"));
}

TEST_CASE("a folder that has to stay is merged with") {
  const Place place;
  SECTION("itself") { place.put(place.folder / "home/target", {place.folder / "home/target"}); }
  SECTION("for what is in it") { place.put(place.folder / "home/target", {place.folder / "home/target/old"}); }
  SECTION("by another name") {
    fs::create_directory_symlink(place.folder / "home", place.folder / "link");
    place.put(place.folder / "home/target", {place.folder / "link/target"});
  }
  CHECK(place.home() == merged);
}

TEST_CASE("a neighbour that has to stay does not keep a folder from being replaced") {
  const Place place;
  place.put(place.folder / "home/target", {place.folder / "home", place.folder / "home/target-2"});
  CHECK(place.home() == replaced);
}

TEST_CASE("mount points have to stay, with all folders above them") {
  CHECK(files::must_stay("/", {}));
  CHECK(files::must_stay("/proc", {}));
}

TEST_CASE("a file does not take the place of a folder that has to stay") {
  const Place place;
  std::ofstream(place.folder / "source/single") << "x";
  place.make_archive("single");
  CHECK_THROWS_MATCHES(place.put(place.folder / "home/target", {place.folder / "home/target"}), Error,
                       MessageMatches(ContainsSubstring("single")));
  CHECK(fs::exists(place.folder / "home/target/old"));
}

TEST_CASE("an archive that is refused leaves nothing behind") {
  const Place place;
  fs::create_symlink("/tmp", place.folder / "source/second");
  const os::Command tar{
      .arguments = {"tar", "-cf", place.folder / "tar", "-C", place.folder / "source", "root", "second"}};
  REQUIRE(os::run_command(tar).succeeded());
  CHECK_THROWS_AS(place.put(place.folder / "home/target"), Error);
  CHECK_FALSE(fs::exists(place.folder / "home/target"));
}

TEST_CASE("a link that leads above a place that has to stay is replaced, and what it leads to stays") {
  const Place place;
  fs::create_directories(place.folder / "elsewhere/mounted");
  fs::remove_all(place.folder / "home/target");
  fs::create_directory_symlink(place.folder / "elsewhere", place.folder / "home/target");
  place.put(place.folder / "home/target", {place.folder / "elsewhere/mounted"});
  CHECK(place.home() == replaced);
  CHECK(test::tree_of(place.folder / "elsewhere") == Contents{{"mounted", "empty folder"}});
}

TEST_CASE("a link to exactly a place that has to stay is merged with") {
  const Place place;
  fs::create_directories(place.folder / "elsewhere/old");
  fs::remove_all(place.folder / "home/target");
  fs::create_directory_symlink(place.folder / "elsewhere", place.folder / "home/target");
  place.put(place.folder / "home/target", {place.folder / "elsewhere"});
  CHECK(fs::is_symlink(place.folder / "home/target"));
  CHECK(test::tree_of(place.folder / "elsewhere") == Contents{{"new", "file new"}, {"old", "empty folder"}});
}

TEST_CASE("a link to a folder with mounts below it is replaced, one to a mount point or to / stays") {
  const Place place;
  fs::create_directory_symlink("/", place.folder / "root");
  fs::create_directory_symlink("/proc", place.folder / "mount");
  CHECK(files::must_stay(place.folder / "root", {}));
  CHECK(files::must_stay(place.folder / "mount", {}));
  if (::geteuid() != 0) SKIP("only root mounts");
  fs::create_directories(place.folder / "above/below");
  const std::string below = place.folder / "above/below";
  if (::mount("none", below.c_str(), "tmpfs", 0, nullptr) != 0) SKIP("nothing can be mounted here");
  fs::create_directory_symlink(place.folder / "above", place.folder / "link");
  CHECK_FALSE(files::must_stay(place.folder / "link", {}));
  CHECK(files::must_stay(place.folder / "above", {}));
  ::umount(below.c_str());
}
