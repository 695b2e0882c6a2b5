#include "shim/task/task_config.h"

#include <format>
#include <nlohmann/json.hpp>

namespace dstack::shim::task {

namespace {

// The part that only a local task may have.
void read_local_container(const dstack::json::ObjectReader& reader, TaskConfig& config) {
  if (!config.local) return;
  reader.object("container",
                [&](const dstack::json::ObjectReader& container) { config.container = read_container(container); });
  if (!config.container) return;
  // The user that the image names, unless another is asked for.
  if (config.process() == ProcessKind::image) config.container_user = reader.string("container_user");
  const docker::ContainerSettings& settings = config.container->settings;
  if (settings.network.empty() && settings.ports.empty()) return;
  if (reader.string("network_mode") == "host") {
    dstack::json::refuse(reader.path_of("network_mode"),
                         std::format("host, with a container.{}", settings.network.empty() ? "ports" : "network"));
  }
  config.network_mode = docker::NetworkMode::bridge;
}

}  // namespace

TaskConfig read_config(const dstack::json::ObjectReader& reader) {
  auto config = dstack::json::read_fields<TaskConfig>(reader);
  if (config.container_user.empty()) config.container_user = "root";
  read_local_container(reader, config);
  return config;
}

nlohmann::json write_config(const TaskConfig& config) {
  nlohmann::json written = dstack::json::write_fields(config);
  if (config.container) written["container"] = write_container(*config.container);
  return written;
}

}  // namespace dstack::shim::task
