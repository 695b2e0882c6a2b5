#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace dstack::os {

// One line of /proc/self/mountinfo (proc_pid_mountinfo(5)), with the escapes in paths undone.
struct Mount {
  std::string mount_point;
  std::string source;   // "/dev/nvme1n1"
  dev_t number = 0;     // of the device, or of the file system where that has a number of its own (btrfs)
  std::string root;     // which folder of the file system is seen at the mount point
  std::string type;     // "ext4"
  std::string flags;    // of this mount, separated by commas: "rw,nosuid,noexec"
  std::string options;  // the file system's, separated by commas: of a cgroup hierarchy its controllers
};

// The text of a mountinfo file, in the order of mounting. Lines that are not mounts are skipped.
std::vector<Mount> parse_mounts(std::string_view mountinfo);

// This process's mounts, or those in another mountinfo file. Throws Error if it cannot be read.
std::vector<Mount> read_mounts(const std::filesystem::path& mountinfo = "/proc/self/mountinfo");

// What is mounted at `path`, the uppermost last. Throws Error if the table cannot be read.
std::vector<Mount> mounts_at(const std::filesystem::path& path);

// Whether this mount is of the block device with this number.
bool is_of_device(const Mount& mount, dev_t number);

}  // namespace dstack::os
