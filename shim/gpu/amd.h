#pragma once

#include <filesystem>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "shim/docker/container_spec.h"
#include "shim/docker/engine_client.h"
#include "shim/docker/image_pull.h"
#include "shim/gpu/inventory.h"

namespace dstack::shim::gpu {

// `amd-smi static --json --asic --vram --bus --driver`: an array (ROCm 6), or one under "gpu_data" (ROCm 7). `root` is
// where /dev and /sys are: they tell the render node of a GPU by its bus id. A GPU without a render node cannot be
// given to anybody and is left out. Throws Error (unavailable) for nonsense.
Inventory parse_amd_smi(std::string_view output, const std::filesystem::path& root);

// Runs amd-smi in a container. Throws Error.
Inventory detect_amd(docker::EngineClient& engine, docker::ImagePuller& puller, const std::filesystem::path& root,
                     const std::stop_token& stop);

docker::GpuSettings amd_settings(const std::vector<std::string>& ids);

bool is_render_node(std::string_view path);

}  // namespace dstack::shim::gpu
