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

// `tt-smi -s`: one entry for each chip, in the order of the device nodes. What is given to a task is what has a device
// node:
//   Wormhole    a chip "L" has one, and brings the memory of the chip "R" of its board along; chips without a letter
//   count
//               once for each board, with the memory of all
//   Blackhole   each chip has one, but those whose bus id is "N/A": they belong to the chip of their board that has
// A chip without a board type is logged and passed over, and so is all that is not a chip.
Inventory parse_tt_smi(std::string_view output);

// Runs tt-smi in a container; `root` is where /dev and /sys are. Throws Error.
Inventory detect_tenstorrent(docker::EngineClient& engine, docker::ImagePuller& puller,
                             const std::filesystem::path& root, const std::stop_token& stop);

docker::GpuSettings tenstorrent_settings(const std::vector<std::string>& ids, const std::filesystem::path& root);

// The index in the path of a device node; empty for any other path.
std::string tenstorrent_id(std::string_view path);

}  // namespace dstack::shim::gpu
