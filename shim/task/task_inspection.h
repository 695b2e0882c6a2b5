#pragma once

#include <optional>
#include <string>

#include "common/secret.h"
#include "shim/docker/engine_client.h"
#include "shim/task/task.h"

namespace dstack::shim::task {

// Everything there is to know of one task.
struct TaskInspection {
  TaskDetails details;
  TaskConfig config;
  std::string address;          // of its container in its network; empty: none of its own, or not known
  std::string health = "none";  // "none", "starting", "healthy", "unhealthy"
  bool out_of_memory = false;
  Secret runner_token;
  std::optional<docker::ImageDetails> image;  // of its container; nothing before that is made
  std::string digest;                         // the image's in its registry, "sha256:…"; empty for one from nowhere
};

// Asks the engine for what it alone knows; what it does not tell within a few seconds is left out.
TaskInspection inspect_task(const TaskState& state, TaskDetails details, docker::EngineClient& engine);

}  // namespace dstack::shim::task
