#pragma once

#include <filesystem>

#include "shim/docker/engine_types.h"

namespace dstack::shim::docker {

// Where the engine unpacks images, which is what fills a disk: its own folder, or containerd's with containerd's image
// store. `root` is where the host's files are.
std::filesystem::path unpack_folder(const EngineInfo& info, const std::filesystem::path& root = "/");

}  // namespace dstack::shim::docker
