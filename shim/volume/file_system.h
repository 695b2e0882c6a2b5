#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "common/os/clock.h"
#include "common/os/command.h"
#include "shim/volume/block_device.h"

namespace dstack::shim::volume {

// What `blkid -p -o value -s TYPE` found on a device: the type ("ext4"), or nothing where there is no signature at all.
// Throws Error (unavailable) for whatever is neither: a partition table, several signatures, a failure. blkid has the
// same exit status for a blank device and for one that it cannot open, so its complaints count as failures too.
std::optional<std::string> read_probe(const os::CommandResult& blkid);

// Whether a type that blkid names can be mounted. Swap, members of LVM, RAID and ZFS, and encrypted disks cannot.
bool is_file_system(std::string_view type);

// Sees to it that the device has a file system, and returns whether it made one. It makes one (ext4) only if `init_fs`
// is set and the device was found blank four times, a second apart, has blank ends, and has been the same all the time.
// Throws Error: conflict if the device holds something that is not a file system, invalid if it is blank and `init_fs`
// is not set, unavailable if that cannot be found out or the device is gone, timed_out, cancelled. Unless it comes from
// mkfs.ext4 itself, nothing has been written to the device then.
bool ensure_file_system(const BlockDevice& device, bool init_fs, const std::stop_token& stop, os::Clock& clock);

}  // namespace dstack::shim::volume
