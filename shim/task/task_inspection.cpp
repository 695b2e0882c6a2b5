#include "shim/task/task_inspection.h"

#include <spdlog/spdlog.h>

#include <chrono>

#include "common/error.h"
#include "shim/docker/image_reference.h"

namespace dstack::shim::task {

namespace {

constexpr std::chrono::seconds kEngineLimit{5};

// The digest of the repository that the task named, or else of any.
std::string digest_of(const docker::ImageDetails& image, const std::string& name) {
  const std::string repository = docker::parse_image_reference(name).repository;
  std::string digest;
  for (const std::string& entry : image.digests) {
    const std::size_t at = entry.find('@');
    if (at == std::string::npos) continue;
    if (digest.empty() || repository.ends_with(entry.substr(0, at))) digest = entry.substr(at + 1);
  }
  return digest;
}

}  // namespace

TaskInspection inspect_task(const TaskState& state, TaskDetails details, docker::EngineClient& engine) {
  TaskInspection inspection{.details = std::move(details),
                            .config = state.config,
                            .out_of_memory = state.out_of_memory,
                            .runner_token = state.runner_token};
  if (state.container_id.empty()) return inspection;
  try {
    const docker::Call call{.limit = kEngineLimit};
    const auto container = engine.inspect(state.container_id, call);
    if (!container) return inspection;
    inspection.address = container->address;
    if (!container->health.empty()) inspection.health = container->health;
    inspection.image = engine.inspect_image(container->image_id, call);
    if (inspection.image) inspection.digest = digest_of(*inspection.image, state.config.image_name);
  } catch (const std::exception& error) {
    spdlog::warn("task {}: {}", printable(state.config.id), error.what());
  }
  return inspection;
}

}  // namespace dstack::shim::task
