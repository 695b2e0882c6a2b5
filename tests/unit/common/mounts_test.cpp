#include "common/os/mounts.h"

#include <sys/sysmacros.h>

#include <catch2/catch_test_macros.hpp>

using namespace dstack::os;

TEST_CASE("the kernel's mount table is read with its escapes and optional fields") {
  const auto mounts = parse_mounts(
      "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
      "85 27 259:1 / /mnt/disks/dstack-volumes/a\\040b rw,relatime shared:1 master:2 - ext4 /dev/nvme1n1 rw\n"
      "nonsense\n"
      "86 27 x:1 / /elsewhere rw - ext4 /dev/sda rw\n"
      "87 27 0:52 / /mnt/x rw - btrfs\n"
      "88 27 0:53 /sub\\040folder /mnt/cr\r rw - btrfs none rw,x\\040y\n");
  REQUIRE(mounts.size() == 3);
  CHECK(mounts[0].mount_point == "/proc");
  CHECK(mounts[1].mount_point == "/mnt/disks/dstack-volumes/a b");
  CHECK(mounts[1].source == "/dev/nvme1n1");
  CHECK(mounts[1].number == makedev(259, 1));
  CHECK(mounts[1].root == "/");
  CHECK(mounts[1].type == "ext4");
  CHECK(mounts[1].options == "rw");
  CHECK(mounts[2].root == "/sub folder");
  CHECK(mounts[2].mount_point == "/mnt/cr\r");
  CHECK(mounts[2].options == "rw,x y");
}

TEST_CASE("a mount whose source has gone is known by its number") {
  CHECK(is_of_device({.mount_point = "/m", .source = "/nonexistent/dev", .number = makedev(259, 1)}, makedev(259, 1)));
  CHECK_FALSE(
      is_of_device({.mount_point = "/m", .source = "/nonexistent/dev", .number = makedev(259, 1)}, makedev(259, 2)));
}
