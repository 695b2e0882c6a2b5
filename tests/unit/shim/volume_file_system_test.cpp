#include "shim/volume/file_system.h"

#include <sys/sysmacros.h>

#include <catch2/catch_test_macros.hpp>

#include "common/error.h"
#include "shim/volume/mount_table.h"

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

TEST_CASE("the kernel's mount table is read with its escapes and optional fields") {
  const auto mounts = parse_mount_table(
      "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
      "85 27 259:1 / /mnt/disks/dstack-volumes/a\\040b rw,relatime shared:1 master:2 - ext4 /dev/nvme1n1 rw\n"
      "nonsense\n"
      "86 27 x:1 / /elsewhere rw - ext4 /dev/sda rw\n"
      "87 27 0:52 / /mnt/x rw - btrfs");
  REQUIRE(mounts.size() == 2);
  CHECK(mounts[0].mount_point == "/proc");
  CHECK(mounts[1].mount_point == "/mnt/disks/dstack-volumes/a b");
  CHECK(mounts[1].source == "/dev/nvme1n1");
  CHECK(mounts[1].number == makedev(259, 1));
}

TEST_CASE("a mount whose source has gone is known by its number") {
  CHECK(is_of_device({.mount_point = "/m", .source = "/nonexistent/dev", .number = makedev(259, 1)}, makedev(259, 1)));
  CHECK_FALSE(
      is_of_device({.mount_point = "/m", .source = "/nonexistent/dev", .number = makedev(259, 1)}, makedev(259, 2)));
}
