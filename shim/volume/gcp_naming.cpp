#include "shim/volume/gcp_naming.h"

#include <chrono>
#include <format>

#include "common/error.h"
#include "shim/volume/block_device.h"

namespace dstack::shim::volume {

namespace {

constexpr std::chrono::milliseconds kDiskPollInterval{500};

}  // namespace

std::filesystem::path find_gcp_device(const VolumeInfo& volume, const std::filesystem::path& dev,
                                      const std::stop_token& stop, os::Clock& clock) {
  const std::string name = volume.device_name.value_or("");
  if (name.empty() || name.contains('/') || name.contains('\0')) {
    throw Error(ErrorKind::invalid,
                std::format("volume {}: not a device name: {}", printable(volume.name), printable(name)));
  }
  const std::filesystem::path link = dev / "disk/by-id" / ("google-" + name);
  const os::SteadyTime deadline = clock.now() + kBlockDeviceLimit;
  while (true) {
    for (const char* suffix : {"-part1", ""}) {
      std::error_code error;
      std::filesystem::path device = std::filesystem::canonical(link.string() + suffix, error);
      if (!error) return device;
    }
    if (clock.now() >= deadline) {
      throw Error(ErrorKind::timed_out,
                  std::format("find volume {} ({}): no {} within {} s", printable(volume.name),
                              printable(volume.volume_id), link.string(), kBlockDeviceLimit.count()));
    }
    if (!os::pause(clock, kDiskPollInterval, stop)) {
      throw Error(ErrorKind::cancelled, std::format("find volume {}: cancelled", printable(volume.name)));
    }
  }
}

}  // namespace dstack::shim::volume
