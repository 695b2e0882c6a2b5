#include <fcntl.h>
#include <sys/file.h>

#include <catch2/catch_test_macros.hpp>
#include <fstream>

#include "common/os/file.h"
#include "common/os/file_locks.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;

TEST_CASE("a file is locked while a descriptor holds a lock of either kind on it") {
  const test::TemporaryDirectory folder;
  const std::filesystem::path file = folder / "file";
  CHECK_FALSE(os::is_locked(file));
  std::ofstream(file) << "x";
  CHECK_FALSE(os::is_locked(file));
  os::UniqueFd holder = os::open_file(file, O_RDWR);
  SECTION("flock") {
    REQUIRE(::flock(holder.get(), LOCK_SH) == 0);
    CHECK(os::is_locked(file));
    REQUIRE(::flock(holder.get(), LOCK_UN) == 0);
  }
  SECTION("fcntl") {
    struct flock lock{};
    lock.l_type = F_WRLCK;
    REQUIRE(::fcntl(holder.get(), F_SETLK, &lock) == 0);
    CHECK(os::is_locked(file));
    // A copy's end drops it, as POSIX has it.
    os::open_file(file, O_RDWR).reset();
  }
  CHECK_FALSE(os::is_locked(file));
}

TEST_CASE("looking at a file takes no lock and drops none") {
  const test::TemporaryDirectory folder;
  const std::filesystem::path file = folder / "file";
  std::ofstream(file) << "x";
  const os::UniqueFd holder = os::open_file(file, O_RDWR);
  struct flock lock{};
  lock.l_type = F_WRLCK;
  REQUIRE(::fcntl(holder.get(), F_SETLK, &lock) == 0);
  for (int look = 0; look < 3; ++look) CHECK(os::is_locked(file));
}
