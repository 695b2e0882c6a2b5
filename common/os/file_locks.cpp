#include "common/os/file_locks.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <format>
#include <optional>
#include <sstream>
#include <string>

#include "common/os/file.h"
#include "common/os/unique_fd.h"

namespace dstack::os {

namespace {

// "8:1" of the file system that the mount with this id shows. stat(2) says another number on btrfs.
std::optional<std::string> device_of_mount(const std::string& mount_id, const std::filesystem::path& proc) {
  std::istringstream mounts(try_read_file(proc / "self/mountinfo").value_or(""));
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream fields(line);
    std::string id;
    std::string parent;
    std::string device;
    if (fields >> id >> parent >> device && id == mount_id) return device;
  }
  return std::nullopt;
}

std::optional<std::string> mount_id_of(const UniqueFd& file, const std::filesystem::path& proc) {
  std::istringstream lines(try_read_file(proc / "self/fdinfo" / std::to_string(file.get())).value_or(""));
  for (std::string name, value; lines >> name >> value;) {
    if (name == "mnt_id:") return value;
  }
  return std::nullopt;
}

// "08:01:1234", as /proc/locks names a file: the device's numbers in hex, the inode's in decimal.
std::string name_in_list(unsigned major_number, unsigned minor_number, ino_t inode) {
  return std::format("{:02x}:{:02x}:{}", major_number, minor_number, inode);
}

}  // namespace

bool is_locked(const std::filesystem::path& file, const std::filesystem::path& proc) {
  const UniqueFd fd(::open(file.c_str(), O_PATH | O_CLOEXEC));
  struct stat status{};
  if (!fd || ::fstat(fd.get(), &status) != 0) return false;
  const std::string by_stat = name_in_list(major(status.st_dev), minor(status.st_dev), status.st_ino);
  std::string by_mount = by_stat;
  if (const auto mount_id = mount_id_of(fd, proc)) {
    unsigned major_number = 0;
    unsigned minor_number = 0;
    char colon = 0;
    std::istringstream device(device_of_mount(*mount_id, proc).value_or(""));
    if (device >> major_number >> colon >> minor_number)
      by_mount = name_in_list(major_number, minor_number, status.st_ino);
  }
  // "1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF"; "1: -> FLOCK …" waits for it.
  std::istringstream locks(try_read_file(proc / "locks").value_or(""));
  for (std::string line; std::getline(locks, line);) {
    std::istringstream fields(line);
    std::string number, kind, mode, access, holder, name;
    fields >> number >> kind >> mode >> access >> holder >> name;
    if (kind != "->" && (name == by_stat || name == by_mount)) return true;
  }
  return false;
}

}  // namespace dstack::os
