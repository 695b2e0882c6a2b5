#include "shim/docker/disk_limit.h"

#include <algorithm>
#include <array>
#include <format>
#include <string_view>

#include "common/error.h"

namespace dstack::shim::docker {

std::string why_no_disk_limit(const EngineInfo& info) {
  constexpr std::array<std::string_view, 3> kAlways{"btrfs", "zfs", "devicemapper"};
  // "overlay" is Podman's name for it.
  constexpr std::array<std::string_view, 3> kOnXfs{"overlay2", "overlay", "vfs"};
  constexpr std::string_view kWanted = "it takes overlay2 on XFS that is mounted with pquota";
  if (info.containerd_images)
    return std::format("containerd's image store has no limit of a container's disk; {}", kWanted);
  if (std::ranges::contains(kAlways, info.storage_driver)) return {};
  if (!std::ranges::contains(kOnXfs, info.storage_driver))
    return std::format("Docker's storage driver is {}; {}", printable(info.storage_driver), kWanted);
  if (info.backing_file_system == "xfs") return {};
  return std::format("Docker's storage driver is {} on {}; {}", info.storage_driver,
                     printable(info.backing_file_system), kWanted);
}

}  // namespace dstack::shim::docker
