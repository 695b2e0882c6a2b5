#pragma once

#include <cstdint>
#include <filesystem>

namespace dstack::shim::gpu {

// The machine's memory in MiB, by /proc/meminfo below `root`; 0 if that cannot be read.
std::int64_t machine_memory(const std::filesystem::path& root);

}  // namespace dstack::shim::gpu
