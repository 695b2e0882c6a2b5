#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace dstack::shim::volume {

struct Mount {
  std::string mount_point;
  std::string source;  // "/dev/nvme1n1"
  dev_t number = 0;    // of the device, or of the file system where that has a number of its own (btrfs)
};

// /proc/self/mountinfo, in the order of mounting. Lines that are no mounts are passed over.
std::vector<Mount> parse_mount_table(std::string_view mountinfo);

// What is mounted at `path`, the uppermost last. Throws Error if the table cannot be read.
std::vector<Mount> mounts_at(const std::filesystem::path& path);

// Whether this mount is of the block device with this number.
bool is_of_device(const Mount& mount, dev_t number);

}  // namespace dstack::shim::volume
