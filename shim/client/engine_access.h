#pragma once

#include <memory>
#include <string>

#include "shim/client/shim_api.h"
#include "shim/client/stdio_stream.h"
#include "shim/docker/engine_client.h"

namespace dstack::shim::client {

// The engine that the shim uses, for what a command asks of it by itself. Throws Error, with what to do about it, if
// this user cannot reach it.
std::unique_ptr<docker::EngineClient> reach_engine(ShimApi& shim);

// What StdioStream sets the size of a program's terminal with. The engine outlives it.
StdioStream::Resize resize_of(docker::EngineClient& engine, docker::EngineClient::Terminal of, std::string id);

// Whether a container goes on after its stream has ended, for two seconds at least.
bool runs_on(docker::EngineClient& engine, const std::string& container);

}  // namespace dstack::shim::client
