#include "shim/volume/file_system.h"

#include <sys/sysmacros.h>

#include <catch2/catch_test_macros.hpp>

#include "common/error.h"

using namespace dstack;
using namespace dstack::shim::volume;
using os::CommandResult;

TEST_CASE("a type that blkid names is a type, whatever its exit status") {
  CHECK(read_probe({.output = "ext4\n"}) == "ext4");
  CHECK(read_probe({.exit_status = 4, .output = "xfs\n", .errors = "warning"}) == "xfs");
  CHECK(read_probe({.exit_status = 2, .output = "btrfs\n"}) == "btrfs");
}

TEST_CASE("only status 2 without a word means blank") {
  CHECK(read_probe({.exit_status = 2}) == std::nullopt);
  // That is how blkid speaks of a device that has gone.
  CHECK_THROWS_AS(read_probe({.exit_status = 2, .errors = "error: /dev/nvme1n1: No such file or directory"}), Error);
  CHECK_THROWS_AS(read_probe({.exit_status = 4}), Error);
  CHECK_THROWS_AS(read_probe({.exit_status = 8}), Error);
  CHECK_THROWS_AS(read_probe({.exit_status = 1}), Error);
  CHECK_THROWS_AS(read_probe({.end = CommandResult::End::signalled, .signal = 9}), Error);
  CHECK_THROWS_AS(read_probe({.end = CommandResult::End::timed_out}), Error);
}

TEST_CASE("success without a type is a signature of another kind, not a blank device") {
  CHECK_THROWS_AS(read_probe({.exit_status = 0}), Error);
  CHECK_THROWS_AS(read_probe({.exit_status = 0, .output = "\n  \n"}), Error);
}

TEST_CASE("members of something larger, swap and encrypted disks are no file systems") {
  for (const char* type : {"ext4", "xfs", "btrfs", "vfat", "ntfs"}) CHECK(is_file_system(type));
  for (const char* type : {"swap", "LVM2_member", "linux_raid_member", "zfs_member", "crypto_LUKS", "BitLocker"}) {
    CHECK_FALSE(is_file_system(type));
  }
}
