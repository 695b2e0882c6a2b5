#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "common/os/clock.h"
#include "shim/docker/engine_client.h"
#include "shim/docker/image_pull.h"
#include "shim/gpu/tool_output.h"

namespace dstack::shim::gpu {

// A vendor's tool that comes as an image.
struct ToolContainer {
  std::string image;
  std::vector<std::string> command;  // for the image's entry point
  std::string device;                // a node or a folder of nodes, on the host and in the container
  std::vector<std::string> more_devices = {};
};

// Runs it and removes its container, whatever happens; an image that is present is not pulled. Throws Error as the
// engine's calls do, cancelled if `stop` ended it.
ToolOutput run_tool_container(docker::EngineClient& engine, docker::ImagePuller& puller, const ToolContainer& tool,
                              const std::stop_token& stop);

// Removes what a process that was killed left behind. Errors are logged.
void remove_old_tool_containers(docker::EngineClient& engine, const std::stop_token& stop);

}  // namespace dstack::shim::gpu
