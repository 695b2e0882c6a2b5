#pragma once

#include <filesystem>
#include <stop_token>

#include "common/os/clock.h"
#include "shim/docker/engine_client.h"
#include "shim/docker/image_pull.h"
#include "shim/gpu/inventory.h"

namespace dstack::shim::gpu {

// The GPUs of this host: the vendor by its device nodes below `root`, the rest by the vendor's tool. A tool that is
// absent, hangs or names no GPU is logged, and the host counts as having no GPU. Blocks for 2 minutes at most. Throws
// Error: cancelled if `stop` comes first, exhausted if no thread or process can be made now.
Inventory detect(docker::EngineClient& engine, docker::ImagePuller& puller, const std::filesystem::path& root = "/",
                 os::Clock& clock = os::system_clock(), const std::stop_token& stop = {});

}  // namespace dstack::shim::gpu
