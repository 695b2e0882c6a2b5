#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "shim/metrics/exposition.h"

namespace dstack::shim::metrics {

struct WatchedDisk {
  std::string name;  // the label: "home", "images"
  std::filesystem::path folder;
};

// How short the host is of what tasks share: CPU, memory and I/O (the kernel's pressure stall information), memory,
// process ids, space and inodes of the disks. What cannot be read is left out: a kernel may be built without PSI.
void write_pressure(Exposition& exposition, const std::vector<WatchedDisk>& disks,
                    const std::filesystem::path& proc = "/proc");

}  // namespace dstack::shim::metrics
