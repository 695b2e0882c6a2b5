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

// The GPUs that `amd-smi static --json --asic --vram --bus --driver` names: an array (ROCm 6), or one under "gpu_data"
// (ROCm 7). `root` is where /dev, /proc and /sys are: they tell the render node of a GPU by its place on the bus. A GPU
// without one, or whose node another entry has, cannot be handed out and is logged. A memory that is not a number is 0,
// or the machine's where the GPU uses that.
Inventory parse_amd_smi(std::string_view output, const std::filesystem::path& root);

// Runs amd-smi in a container. Throws Error.
Inventory detect_amd(docker::EngineClient& engine, docker::ImagePuller& puller, const std::filesystem::path& root,
                     const std::stop_token& stop);

docker::GpuSettings amd_settings(const std::vector<std::string>& ids);

}  // namespace dstack::shim::gpu
