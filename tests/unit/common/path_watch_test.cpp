#include "common/os/path_watch.h"

#include <poll.h>

#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>

#include "tests/support/temporary_directory.h"

using namespace dstack;

namespace {

struct WatchedFile {
  test::TemporaryDirectory root;
  std::filesystem::path file = root / "systemd/shutdown/scheduled";
  os::PathWatch watch{file};

  bool has_changed() const {
    REQUIRE(watch.fd() >= 0);
    pollfd changed{.fd = watch.fd(), .events = POLLIN, .revents = 0};
    return ::poll(&changed, 1, 0) == 1;
  }
  void make_folders() const { std::filesystem::create_directories(file.parent_path()); }
  void write(const std::filesystem::path& other) const { std::ofstream(other) << "USEC=1\n"; }
};

}  // namespace

TEST_CASE_METHOD(WatchedFile, "a file that is made, written, replaced or removed is noticed, and nothing else") {
  make_folders();
  watch.arm();
  CHECK_FALSE(has_changed());
  write(file);
  CHECK(has_changed());
  watch.arm();
  CHECK_FALSE(has_changed());
  write(file);
  CHECK(has_changed());
  write(root / "new");
  watch.arm();
  std::filesystem::rename(root / "new", file);
  CHECK(has_changed());
  watch.arm();
  CHECK(std::ifstream(file).good());
  CHECK_FALSE(has_changed());
  std::filesystem::remove(file);
  CHECK(has_changed());
}

TEST_CASE_METHOD(WatchedFile, "folders that are missing are noticed when they are made") {
  watch.arm();
  CHECK_FALSE(has_changed());
  make_folders();
  CHECK(has_changed());
  watch.arm();
  CHECK_FALSE(has_changed());
  write(file);
  CHECK(has_changed());
}

TEST_CASE_METHOD(WatchedFile, "a folder that is removed and made again is watched again") {
  make_folders();
  watch.arm();
  std::filesystem::remove_all(root / "systemd");
  CHECK(has_changed());
  watch.arm();
  make_folders();
  CHECK(has_changed());
  watch.arm();
  write(file);
  CHECK(has_changed());
}
