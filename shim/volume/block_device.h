#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <stop_token>

#include "common/os/clock.h"
#include "common/os/unique_fd.h"

namespace dstack::shim::volume {

inline constexpr std::chrono::seconds kBlockDeviceLimit{10};

// A block device that is there and has a size, held open for reading. While it is held the kernel gives its number to
// no other device, so that what was found out about it stays true of this one. Reading only: nobody else is kept from
// it.
class BlockDevice {
 public:
  // Waits for `path` to become a block device of non-zero size, at most `block_device_limit`. Throws Error: timed_out
  // with the last reason, or cancelled.
  static BlockDevice wait_for(const std::filesystem::path& path, const std::stop_token& stop, os::Clock& clock);

  const std::filesystem::path& path() const { return path_; }
  dev_t number() const { return number_; }
  std::uint64_t size() const { return size_; }  // bytes

  // Throws Error (unavailable) unless the path still leads to this device and the device still has its size.
  void check_still_there() const;

  // Whether the first and the last 64 KiB, where every kind of disk content has its beginning or its copy, are zeros.
  // Throws Error if they cannot be read.
  bool has_blank_ends() const;

 private:
  BlockDevice(std::filesystem::path path, os::UniqueFd fd, dev_t number, std::uint64_t size)
      : path_(std::move(path)), fd_(std::move(fd)), number_(number), size_(size) {}

  static BlockDevice open(const std::filesystem::path& path);
  bool is_blank(std::uint64_t offset, std::uint64_t length) const;

  std::filesystem::path path_;
  os::UniqueFd fd_;
  dev_t number_;
  std::uint64_t size_;
};

}  // namespace dstack::shim::volume
