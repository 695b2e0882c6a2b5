#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace dstack::shim::gpu {

// "0000:05:00.0" in lower case; empty for anything else, since it becomes part of a path.
std::string amd_bus_id(std::string text);

// The render nodes ("/dev/dri/renderD128") of the GPU at this place on the bus, as amd_bus_id() has it. A GPU that is
// partitioned has several at one place, here in the order of its partitions. `root` is where /dev and /sys are.
std::vector<std::string> amd_render_nodes(const std::string& bus_id, const std::filesystem::path& root);

// Whether the GPU with this render node is part of a processor whose memory it uses, by the kernel's topology.
bool shares_processor_memory(std::string_view render_node, const std::filesystem::path& root);

}  // namespace dstack::shim::gpu
