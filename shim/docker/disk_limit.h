#pragma once

#include <string>

#include "shim/docker/engine_types.h"

namespace dstack::shim::docker {

// Why the engine cannot limit the space that a container's own layer takes, as far as its storage driver says; empty if
// it may. Whether the disk is mounted with quotas it only says when a container is created.
std::string why_no_disk_limit(const EngineInfo& info);

}  // namespace dstack::shim::docker
