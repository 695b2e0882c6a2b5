#pragma once

#include <filesystem>
#include <stop_token>

#include "common/os/clock.h"
#include "shim/volume/volume_manager.h"

namespace dstack::shim::volume {

// Which device of this host a volume of a cloud is. The cloud answers before the kernel has found the device, so every
// look-up is repeated for a while. `dev` is /dev. Throws Error: invalid for a backend that is not known (it is named)
// or a volume that names no device, timed_out if there is no such device in the end, cancelled.
std::filesystem::path find_device(const VolumeInfo& volume, const std::filesystem::path& dev,
                                  const std::stop_token& stop, os::Clock& clock);

}  // namespace dstack::shim::volume
