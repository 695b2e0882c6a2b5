#pragma once

#include <filesystem>
#include <stop_token>

#include "common/os/clock.h"
#include "shim/volume/volume_manager.h"

namespace dstack::shim::volume {

// find_device for the backend gcp: the guest's udev rules link /dev/disk/by-id/google-<device name>-part1, or without
// partitions google-<device name>, to the device.
std::filesystem::path find_gcp_device(const VolumeInfo& volume, const std::filesystem::path& dev,
                                      const std::stop_token& stop, os::Clock& clock);

}  // namespace dstack::shim::volume
