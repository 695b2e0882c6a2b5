#include "shim/gpu/amd.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>
#include <optional>

#include "common/error.h"
#include "common/json/dump.h"
#include "shim/gpu/amd_nodes.h"
#include "shim/gpu/machine_memory.h"
#include "shim/gpu/tool_container.h"
#include "shim/gpu/tool_output.h"

namespace dstack::shim::gpu {

namespace {

using nlohmann::json;

constexpr const char* kAmdImage = "dstackai/amd-smi:latest";
// MiB of {"value": 196592, "unit": "MB"}, or of a text of both.
std::optional<std::int64_t> vram(const json& gpu) {
  const json& size = member(member(gpu, "vram"), "size");
  const json& value = size.is_object() ? member(size, "value") : size;
  const std::string text = value.is_string()           ? value.get<std::string>()
                           : value.is_number_integer() ? dstack::json::dump(value)
                                                       : "";
  return parse_mebibytes(text + " " + text_member(size, "unit"));
}

std::string driver_of(const json& gpu) {
  const json& driver = member(gpu, "driver");
  const std::string version = known_value(text_member(driver, "version"));
  return version.empty() ? known_value(text_member(driver, "driver_version")) : version;
}

}  // namespace

Inventory parse_amd_smi(std::string_view output, const std::filesystem::path& root) {
  Inventory inventory{.vendor = Vendor::amd};
  SkippedRows skipped("amd-smi");
  for (const json& row : json_rows(output, "bus")) {
    const std::string text = dstack::json::dump(row);
    const std::string bus_id = amd_bus_id(text_member(member(row, "bus"), "bdf"));
    const auto nodes = bus_id.empty() ? std::vector<std::string>() : amd_render_nodes(bus_id, root);
    // Partitions share a place, and each takes the next node there.
    const auto node = std::ranges::find_if(
        nodes, [&](const std::string& path) { return !std::ranges::contains(inventory.gpus, path, &Gpu::id); });
    if (node == nodes.end()) {
      skipped.add(text, nodes.empty() ? "a GPU without a render node" : "a GPU whose render node is listed twice");
      continue;
    }
    Gpu gpu{.id = *node, .name = known_value(text_member(member(row, "asic"), "market_name"))};
    const auto memory = vram(row);
    if (!memory) spdlog::warn("amd-smi: the memory of {} is not known: {}", gpu.id, printable(text));
    gpu.memory = memory ? *memory : shares_processor_memory(gpu.id, root) ? machine_memory(root) : 0;
    if (inventory.driver_version.empty()) inventory.driver_version = driver_of(row);
    inventory.gpus.push_back(std::move(gpu));
  }
  return inventory;
}

Inventory detect_amd(docker::EngineClient& engine, docker::ImagePuller& puller, const std::filesystem::path& root,
                     const std::stop_token& stop) {
  ToolContainer tool{.image = kAmdImage,
                     .command = {"static", "--json", "--asic", "--vram", "--bus", "--driver"},
                     .device = "/dev/kfd",
                     .more_devices = {"/dev/dri"}};
  const ToolOutput with_driver = run_tool_container(engine, puller, tool, stop);
  Inventory inventory = parse_amd_smi(with_driver.text, root);
  if (with_driver.failure.empty()) return require_gpus(std::move(inventory), "amd-smi", with_driver);

  spdlog::warn("amd-smi with --driver {}", with_driver.failure);
  tool.command.pop_back();
  const ToolOutput output = run_tool_container(engine, puller, tool, stop);
  Inventory without_driver = parse_amd_smi(output.text, root);
  // The first answer knows more.
  if (without_driver.gpus.size() > inventory.gpus.size() || inventory.gpus.empty())
    inventory = std::move(without_driver);
  return require_gpus(std::move(inventory), "amd-smi", output);
}

docker::GpuSettings amd_settings(const std::vector<std::string>& ids) {
  docker::GpuSettings settings;
  if (ids.empty()) return settings;
  settings.devices.push_back({.path_on_host = "/dev/kfd", .path_in_container = "/dev/kfd"});
  for (const std::string& id : ids) settings.devices.push_back({.path_on_host = id, .path_in_container = id});
  settings.host_ipc = true;
  settings.added_capabilities = {"SYS_PTRACE"};
  settings.security_options = {"seccomp=unconfined"};
  return settings;
}

}  // namespace dstack::shim::gpu
