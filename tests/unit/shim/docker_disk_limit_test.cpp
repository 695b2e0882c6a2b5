#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "shim/docker/disk_limit.h"

using namespace dstack::shim::docker;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("a container's disk can be limited on overlay2 over XFS and by drivers with volumes of their own") {
  CHECK(why_no_disk_limit({.storage_driver = "overlay2", .backing_file_system = "xfs"}).empty());
  CHECK(why_no_disk_limit({.storage_driver = "overlay", .backing_file_system = "xfs"}).empty());
  CHECK(why_no_disk_limit({.storage_driver = "btrfs", .backing_file_system = ""}).empty());
  CHECK(why_no_disk_limit({.storage_driver = "zfs", .backing_file_system = ""}).empty());
}

TEST_CASE("what keeps a container's disk from being limited is said, and what it takes") {
  const std::string on_ext4 = why_no_disk_limit({.storage_driver = "overlay2", .backing_file_system = "extfs"});
  CHECK_THAT(on_ext4,
             ContainsSubstring("overlay2 on \"extfs\"") && ContainsSubstring("XFS") && ContainsSubstring("pquota"));
  CHECK_THAT(why_no_disk_limit({.storage_driver = "fuse-overlayfs", .backing_file_system = "xfs"}),
             ContainsSubstring("\"fuse-overlayfs\""));
  CHECK_THAT(
      why_no_disk_limit({.containerd_images = true, .storage_driver = "overlayfs", .backing_file_system = "xfs"}),
      ContainsSubstring("containerd's image store"));
}
