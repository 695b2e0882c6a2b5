#include "tests/support/loop_device.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <stdexcept>

#include "common/error.h"
#include "common/os/command.h"
#include "common/os/file.h"

namespace dstack::test {

namespace {

std::string without_line_end(std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace

std::string run(std::vector<std::string> arguments) {
  const std::string name = arguments.front();
  const auto result = os::run_command({.arguments = std::move(arguments), .limit = std::chrono::minutes(1)});
  if (!result.succeeded()) throw std::runtime_error(name + " " + result.describe());
  return result.output;
}

bool LoopDevice::available() {
  if (::geteuid() != 0 || !os::find_program("losetup")) return false;
  return os::run_command({.arguments = {"losetup", "--find"}}).succeeded();
}

LoopDevice::LoopDevice(std::uint64_t size) : image_(folder_ / "disk") {
  const os::UniqueFd file = os::open_file(image_, O_RDWR | O_CREAT, 0600);
  if (::ftruncate(file.get(), static_cast<off_t>(size)) != 0) throw os_error("make", image_.string());
  path_ = without_line_end(run({"losetup", "--find", "--show", image_.string()}));
}

LoopDevice::~LoopDevice() {
  // A mount that a failed test left behind would keep it.
  if (path_.empty()) return;
  os::run_command({.arguments = {"umount", "--all-targets", path_}});
  os::run_command({.arguments = {"losetup", "--detach", path_}});
}

void LoopDevice::write(std::uint64_t offset, std::string_view bytes) {
  const os::UniqueFd device = os::open_file(path_, O_WRONLY);
  if (::pwrite(device.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)) !=
      static_cast<ssize_t>(bytes.size())) {
    throw os_error("write", path_);
  }
  ::fsync(device.get());
}

std::uint64_t LoopDevice::fingerprint() const {
  run({"sync", path_});
  const os::UniqueFd file = os::open_file(image_, O_RDONLY);
  std::vector<char> piece(1 << 20);
  std::uint64_t value = 14695981039346656037U;
  while (true) {
    const ssize_t count = ::read(file.get(), piece.data(), piece.size());
    if (count < 0) throw os_error("read", image_.string());
    if (count == 0) return value;
    value = (value ^ std::hash<std::string_view>()({piece.data(), static_cast<std::size_t>(count)})) * 1099511628211U;
  }
}

std::string LoopDevice::type() const {
  return without_line_end(os::run_command({.arguments = {"blkid", "-p", "-o", "value", "-s", "TYPE", path_}}).output);
}

void LoopDevice::detach() {
  run({"losetup", "--detach", path_});
  path_.clear();
}

}  // namespace dstack::test
