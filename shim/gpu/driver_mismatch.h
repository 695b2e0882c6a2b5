#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace dstack::shim::gpu {

// NVIDIA's driver was upgraded and the host not restarted since: the kernel still has the old module, and neither tools
// nor containers can use a GPU until it is. By the module's version and the name of the library's file below `root`; a
// sentence that says so and what to do, or nothing.
std::optional<std::string> find_driver_mismatch(const std::filesystem::path& root = "/");

// Whether a tool's or an engine's message names that as its reason.
bool names_driver_mismatch(std::string_view message);

// The sentence, where versions are not known.
inline constexpr const char* kDriverMismatch =
    "the NVIDIA driver was upgraded and the host not restarted since: restart the host";

}  // namespace dstack::shim::gpu
