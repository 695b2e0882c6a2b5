#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "common/os/clock.h"
#include "shim/volume/volume_manager.h"

namespace dstack::shim::volume {

// What `lsblk -o NAME,SERIAL` says. An EBS volume on a Nitro instance is an NVMe disk whose serial is the volume's id
// without its dash. Lines that are drawn as a tree or have no serial are no hindrance.
//
// The kernel's name of the disk with this volume's serial.
std::optional<std::string> disk_with_volume(std::string_view lsblk_output, std::string_view volume_id);
// The volume that a disk is, by its serial; nothing if its serial is not a volume's.
std::optional<std::string> volume_on_disk(std::string_view lsblk_output, std::string_view disk);

// What `lsblk -ln -o NAME <disk>` says: the disk and all that is on it, partitions and what is stacked on them.
// The kernel's name of the first partition.
std::optional<std::string> first_partition(std::string_view lsblk_output);

// find_device for the backend aws: by serial, else the device name, else the name that Xen gives it (/dev/xvd…). With
// partitions it is the first of them.
std::filesystem::path find_aws_device(const VolumeInfo& volume, const std::filesystem::path& dev,
                                      const std::stop_token& stop, os::Clock& clock);

}  // namespace dstack::shim::volume
