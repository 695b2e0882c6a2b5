#include "shim/volume/block_device.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <format>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/os/file.h"

namespace dstack::shim::volume {

namespace {

constexpr std::chrono::milliseconds kNodePollInterval{200};
constexpr std::uint64_t kCheckedLength = 64 << 10;

std::uint64_t size_of(int fd, const std::filesystem::path& path) {
  std::uint64_t size = 0;
  // By system call: what the request's type is depends on the C library.
  if (::syscall(SYS_ioctl, fd, BLKGETSIZE64, &size) != 0) throw os_error("ask for the size of", path.string());
  return size;
}

struct stat status_of(int fd, const std::filesystem::path& path) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) throw os_error("look at", path.string());
  return status;
}

}  // namespace

BlockDevice BlockDevice::open(const std::filesystem::path& path) {
  // O_NONBLOCK: whatever else lies at this path, a pipe too, must not hold us.
  os::UniqueFd fd = os::open_file(path, O_RDONLY | O_NONBLOCK);
  const struct stat status = status_of(fd.get(), path);
  if (!S_ISBLK(status.st_mode)) throw Error(ErrorKind::invalid, std::format("{} is not a block device", path.string()));
  const std::uint64_t size = size_of(fd.get(), path);
  if (size == 0) throw Error(ErrorKind::unavailable, std::format("{} has no size", path.string()));
  return BlockDevice(path, std::move(fd), status.st_rdev, size);
}

BlockDevice BlockDevice::wait_for(const std::filesystem::path& path, const std::stop_token& stop, os::Clock& clock) {
  // NOLINTNEXTLINE(clang-analyzer-deadcode.DeadStores): it is read where the device cannot be opened yet
  const os::SteadyTime deadline = clock.now() + kBlockDeviceLimit;
  while (true) {
    std::string reason;
    try {
      return open(path);
    } catch (const std::exception& error) {
      reason = error.what();
    }
    if (clock.now() >= deadline) {
      throw Error(ErrorKind::timed_out, std::format("wait for block device {}: not ready within {} s: {}",
                                                    path.string(), kBlockDeviceLimit.count(), reason));
    }
    if (!os::pause(clock, kNodePollInterval, stop)) {
      throw Error(ErrorKind::cancelled, std::format("wait for block device {}: cancelled", path.string()));
    }
  }
}

void BlockDevice::check_still_there() const {
  struct stat status{};
  if (::stat(path_.c_str(), &status) != 0) throw os_error("look again at device", path_.string());
  if (!S_ISBLK(status.st_mode) || status.st_rdev != number_) {
    throw Error(ErrorKind::unavailable, std::format("{} has become another device", path_.string()));
  }
  if (size_of(fd_.get(), path_) != size_) {
    throw Error(ErrorKind::unavailable, std::format("device {} has changed its size or was removed", path_.string()));
  }
}

bool BlockDevice::has_blank_ends() const {
  const std::uint64_t length = std::min(kCheckedLength, size_);
  return is_blank(0, length) && is_blank(size_ - length, length);
}

bool BlockDevice::is_blank(std::uint64_t offset, std::uint64_t length) const {
  std::vector<char> data(length);
  std::size_t filled = 0;
  while (filled < data.size()) {
    const ssize_t count =
        ::pread(fd_.get(), data.data() + filled, data.size() - filled, static_cast<off_t>(offset + filled));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw os_error("read device", path_.string());
    if (count == 0) throw Error(ErrorKind::unavailable, std::format("read device {}: unexpected end", path_.string()));
    filled += static_cast<std::size_t>(count);
  }
  return std::ranges::all_of(data, [](char byte) { return byte == 0; });
}

}  // namespace dstack::shim::volume
