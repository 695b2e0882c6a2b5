#include "common/os/cgroup2.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <format>
#include <fstream>

#include "tests/support/temporary_directory.h"

using namespace dstack;
using os::Cgroup2;
namespace fs = std::filesystem;

namespace {

// A cgroup of the test's own, or none where the hierarchy may not be written.
struct OwnCgroup {
  std::optional<Cgroup2> hierarchy = Cgroup2::find();
  std::string name = std::format("dstack-unit-{}", ::getpid());
  std::error_code failure;

  OwnCgroup() {
    if (!hierarchy) SKIP("no cgroup2 hierarchy is mounted");
    fs::create_directories(path() / "a" / "b", failure);
    if (failure) SKIP("no cgroup can be made: " << failure.message());
  }
  ~OwnCgroup() {
    for (const char* nested : {"a/b", "a", ""}) ::rmdir((path() / nested).c_str());
  }
  fs::path path() const { return hierarchy->mount() / name; }
  static std::uint64_t id_of(const fs::path& cgroup) {
    struct stat status{};
    REQUIRE(::stat(cgroup.c_str(), &status) == 0);
    return status.st_ino;
  }
};

}  // namespace

TEST_CASE("a cgroup is found by its id, a nested one and the root too") {
  const OwnCgroup own;
  const std::uint64_t id = OwnCgroup::id_of(own.path() / "a/b");
  if (!own.hierarchy->path_of(id)) SKIP("this process may not open a cgroup by its id");
  CHECK(own.hierarchy->path_of(id) == "/" + own.name + "/a/b");
  CHECK(own.hierarchy->path_of(OwnCgroup::id_of(own.path())) == "/" + own.name);
  CHECK(own.hierarchy->path_of(OwnCgroup::id_of(own.hierarchy->mount())) == "/");
}

TEST_CASE("a cgroup that is gone has no path") {
  const OwnCgroup own;
  const std::uint64_t id = OwnCgroup::id_of(own.path() / "a/b");
  fs::remove(own.path() / "a/b");
  CHECK_FALSE(own.hierarchy->path_of(id));
  CHECK_FALSE(own.hierarchy->path_of(UINT64_MAX));
}

TEST_CASE("the first mount of the whole hierarchy is taken") {
  const test::TemporaryDirectory folder;
  const auto find = [&folder](const std::string& text) {
    std::ofstream(folder / "mountinfo", std::ios::trunc) << text;
    const auto found = Cgroup2::find(folder / "mountinfo");
    return found ? found->mount().string() : "none";
  };
  const std::string v1 = "30 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
  CHECK(find("") == "none");
  CHECK(find(v1) == "none");
  CHECK(find(v1 + "31 24 0:28 /part /part rw shared:4 - cgroup2 cgroup2 rw\n"
                  "32 24 0:28 / /sys/fs/cgroup/unified rw shared:4 master:1 - cgroup2 cgroup2 rw,nsdelegate\n"
                  "33 24 0:28 / /other rw - cgroup2 cgroup2 rw\n") == "/sys/fs/cgroup/unified");
  CHECK_FALSE(Cgroup2::find(folder / "nothing"));
}
