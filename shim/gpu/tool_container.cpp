#include "shim/gpu/tool_container.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <format>
#include <nlohmann/json.hpp>
#include <random>

#include "common/error.h"
#include "common/text/trim.h"

namespace dstack::shim::gpu {

namespace {

using nlohmann::json;

constexpr const char* kLabel = "ai.dstack.shim.tool";
constexpr std::chrono::seconds kRemovalLimit{30};

json create_body(const ToolContainer& tool, const std::string& image, const docker::EngineMode& engine) {
  json devices = json::array();
  const auto add_device = [&devices](const std::string& path) {
    devices.push_back({{"PathOnHost", path}, {"PathInContainer", path}, {"CgroupPermissions", "rwm"}});
  };
  add_device(tool.device);
  for (const std::string& path : tool.more_devices) add_device(path);
  json host{{"Devices", std::move(devices)},
            // The engine's usual driver may be one whose logs cannot be read back.
            {"LogConfig", {{"Type", "json-file"}, {"Config", json::object()}}}};
  docker::use_as_host_root(host, engine);
  return {{"Image", image}, {"Cmd", tool.command}, {"Labels", {{kLabel, "true"}}}, {"HostConfig", std::move(host)}};
}

class Container {
 public:
  Container(docker::EngineClient& engine, const json& body, const std::stop_token& stop)
      : engine_(engine), name_(std::format("dstack-shim-tool-{:08x}", std::random_device()())) {
    try {
      engine_.create(name_, body, {.stop = stop});
    } catch (...) {
      // It may have been made all the same.
      remove();
      throw;
    }
  }
  Container(const Container&) = delete;
  Container& operator=(const Container&) = delete;
  ~Container() { remove(); }

  const std::string& name() const { return name_; }

 private:
  // Not ended by the stop that ends the rest.
  void remove() const noexcept {
    try {
      engine_.remove(name_, {.limit = kRemovalLimit});
    } catch (const std::exception& error) {
      spdlog::warn("{}", error.what());
    }
  }

  docker::EngineClient& engine_;
  const std::string name_;
};

}  // namespace

ToolOutput run_tool_container(docker::EngineClient& engine, docker::ImagePuller& puller, const ToolContainer& tool,
                              const std::stop_token& stop) {
  const docker::ImageReference image = docker::parse_image_reference(tool.image);
  if (!engine.image_present(image, {.stop = stop})) puller.ensure({.image = image}, stop);
  const Container container(engine, create_body(tool, image.name(), engine.mode({.stop = stop})), stop);
  engine.start(container.name(), {.stop = stop});
  const int exit_code = engine.wait(container.name(), {.stop = stop});
  docker::ContainerOutput output = engine.output(container.name(), {.stop = stop});
  ToolOutput result{.text = std::move(output.output)};
  if (exit_code != 0)
    result.failure = std::format("exited with status {}: {}", exit_code, printable(text::trim(output.errors)));
  return result;
}

void remove_old_tool_containers(docker::EngineClient& engine, const std::stop_token& stop) {
  try {
    for (const auto& container : engine.list(std::format("{}=true", kLabel), {.stop = stop})) {
      if (docker::has_ended(container.status) || container.status == docker::ContainerStatus::created) {
        engine.remove(container.id, {.stop = stop});
      }
    }
  } catch (const std::exception& error) {
    spdlog::warn("{}", error.what());
  }
}

}  // namespace dstack::shim::gpu
