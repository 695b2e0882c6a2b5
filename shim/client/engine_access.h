#pragma once

#include <memory>

#include "shim/client/shim_api.h"
#include "shim/docker/engine_client.h"

namespace dstack::shim::client {

// The engine that the shim uses, for what a command asks of it by itself. Throws Error, with what to do about it, if
// this user cannot reach it.
std::unique_ptr<docker::EngineClient> reach_engine(ShimApi& shim);

}  // namespace dstack::shim::client
