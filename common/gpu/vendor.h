#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace dstack::gpu {

enum class Vendor { none, nvidia, amd, intel, tenstorrent };

// Whose accelerators this machine or container has, told by the device nodes under `root`. Nodes that only one kind of
// device has come first: /dev/kfd is there for an AMD graphics unit inside a processor too, and /dev/accel for many
// makers' devices.
Vendor detect_vendor(const std::filesystem::path& root = "/");

// "none", "nvidia", "amd", "intel", "tenstorrent".
std::string_view name_of(Vendor vendor);

// nvidia-smi's name, or on WSL the path of the one beside the library: PATH may lead to another, which does not work
// there, or to none.
std::string nvidia_tool(const std::filesystem::path& root = "/");

}  // namespace dstack::gpu
