#pragma once

#include <filesystem>
#include <string_view>

namespace dstack::gpu {

enum class Vendor { none, nvidia, amd, intel, tenstorrent };

// Whose accelerators this machine or container has, told by the device nodes under `root`. Nodes that only one kind of
// device has come first: /dev/kfd is there for an AMD graphics unit inside a processor too, and /dev/accel for many
// makers' devices.
Vendor detect_vendor(const std::filesystem::path& root = "/");

// "none", "nvidia", "amd", "intel", "tenstorrent".
std::string_view name_of(Vendor vendor);

}  // namespace dstack::gpu
