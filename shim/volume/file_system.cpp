#include "shim/volume/file_system.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <format>

#include "common/error.h"
#include "common/text/split.h"
#include "shim/volume/tool.h"

namespace dstack::shim::volume {

namespace {

constexpr int kConfirmations = 3;
constexpr std::chrono::seconds kConfirmationInterval{1};
constexpr std::chrono::seconds kProbeLimit{30};
// A large disk whose whole surface has to be discarded takes minutes.
constexpr std::chrono::minutes kFormatLimit{30};

// The type of what is on the device, nothing if it is blank.
std::optional<std::string> probe(const BlockDevice& device, const std::stop_token& stop, os::Clock& clock) {
  const auto result =
      run_tool({"blkid", "-p", "-o", "value", "-s", "TYPE", device.path().string()}, kProbeLimit, stop, clock);
  try {
    auto type = read_probe(result);
    if (type && !is_file_system(*type)) {
      throw Error(ErrorKind::conflict, std::format("it holds {}, which is not a file system", printable(*type)));
    }
    return type;
  } catch (const std::exception& error) {
    throw Error(error_kind(error),
                std::format("identify what is on device {}: {}", device.path().string(), error.what()));
  }
}

// Believes that a device is blank only when it has said so four times: a device that is still being attached may answer
// nothing for a moment.
bool has_file_system(const BlockDevice& device, const std::stop_token& stop, os::Clock& clock) {
  for (int attempt = 0; attempt <= kConfirmations; ++attempt) {
    if (attempt > 0 && !os::pause(clock, kConfirmationInterval, stop)) {
      throw Error(ErrorKind::cancelled,
                  std::format("identify what is on device {}: cancelled", device.path().string()));
    }
    if (const auto type = probe(device, stop, clock)) {
      if (attempt > 0)
        spdlog::warn("device {}: {} was found at look {} only", device.path().string(), *type, attempt + 1);
      return true;
    }
  }
  return false;
}

void format(const BlockDevice& device, const std::stop_token& stop, os::Clock& clock) {
  spdlog::info("device {} is blank: creating an ext4 file system", device.path().string());
  const auto result = run_tool({"mkfs.ext4", "-F", device.path().string()}, kFormatLimit, stop, clock);
  if (!result.succeeded()) {
    throw Error(ErrorKind::unavailable, std::format("create a file system on device {}: mkfs.ext4 {}",
                                                    device.path().string(), result.describe()));
  }
}

}  // namespace

std::optional<std::string> read_probe(const os::CommandResult& blkid) {
  std::string_view output = blkid.output;
  const auto words = text::split_words(text::take_line(output));
  // A signature is a signature, whatever blkid says besides: that errs on the side of the disk's content.
  if (!words.empty()) return std::string(words.front());
  constexpr int nothing_found = 2;
  if (blkid.end == os::CommandResult::End::exited && blkid.exit_status == nothing_found && blkid.errors.empty()) {
    return std::nullopt;
  }
  if (blkid.succeeded()) {
    throw Error(ErrorKind::conflict, "it has a signature that is not a file system, such as a partition table");
  }
  throw Error(ErrorKind::unavailable, "blkid " + blkid.describe());
}

bool is_file_system(std::string_view type) {
  constexpr std::array<std::string_view, 5> others{"swap", "swsuspend", "crypto_LUKS", "BitLocker", "mpool"};
  return !type.ends_with("_member") && !std::ranges::contains(others, type);
}

bool ensure_file_system(const BlockDevice& device, bool init_fs, const std::stop_token& stop, os::Clock& clock) {
  if (has_file_system(device, stop, clock)) return false;
  const std::string name = device.path().string();
  if (!init_fs)
    throw Error(ErrorKind::invalid,
                std::format("device {} has no file system, and creating one was not requested", name));
  if (!device.has_blank_ends()) {
    throw Error(
        ErrorKind::conflict,
        std::format("device {} has no signature that blkid knows, but it holds data: not formatting it. If nothing on "
                    "it is needed, overwrite its first and last 64 KiB with zeros",
                    name));
  }
  device.check_still_there();
  format(device, stop, clock);
  device.check_still_there();
  return true;
}

}  // namespace dstack::shim::volume
