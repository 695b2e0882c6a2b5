#include "shim/gpu/amd.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>
#include <optional>

#include "common/error.h"
#include "shim/gpu/tool_container.h"
#include "shim/gpu/tool_output.h"

namespace dstack::shim::gpu {

namespace {

using nlohmann::json;

constexpr const char* image = "dstackai/amd-smi:latest";
constexpr std::string_view render_node = "/dev/dri/renderD";

// "0000:05:00.0", in lower case; nothing for anything else, since it becomes part of a path.
std::optional<std::string> bus_id(std::string text) {
  const auto belongs = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == ':' || c == '.'; };
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c; });
  if (text.size() < 7 || text.contains("..") || !std::ranges::all_of(text, belongs)) return std::nullopt;
  return text;
}

// By the link that udev makes, or else by the kernel's own folder.
std::optional<std::string> find_render_node(const std::string& bdf, const std::filesystem::path& root) {
  std::error_code error;
  const auto real = std::filesystem::canonical(root / "dev/dri/by-path" / std::format("pci-{}-render", bdf), error);
  if (!error) return "/dev/dri/" + real.filename().string();
  for (const auto& entry : std::filesystem::directory_iterator(root / "sys/bus/pci/devices" / bdf / "drm", error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("renderD")) return "/dev/dri/" + name;
  }
  return std::nullopt;
}

// {"value": 196592, "unit": "MB"}, or a text of both.
std::int64_t vram(const json& gpu) {
  const json& size = member(member(gpu, "vram"), "size");
  const json& value = size.is_object() ? member(size, "value") : size;
  std::string text = value.is_string() ? value.get<std::string>() : value.is_number_integer() ? value.dump() : "";
  const std::string unit = text_member(size, "unit");
  const auto parsed = parse_mebibytes(text + " " + unit);
  if (!parsed)
    spdlog::warn("amd-smi: no size of memory: {}",
                 printable(size.dump(-1, ' ', false, json::error_handler_t::replace)));
  return parsed.value_or(0);
}

std::string driver_of(const json& gpu) {
  const json& driver = member(gpu, "driver");
  const std::string version = driver_version(text_member(driver, "version"));
  return version.empty() ? driver_version(text_member(driver, "driver_version")) : version;
}

}  // namespace

Inventory parse_amd_smi(std::string_view output, const std::filesystem::path& root) {
  const json answer = parse_json(output);
  const json& list = answer.is_array() ? answer : member(answer, "gpu_data");
  if (!list.is_array() || list.size() > gpu_limit) {
    throw Error(ErrorKind::unavailable, std::format("amd-smi: no list of GPUs in {}", printable(trim(output))));
  }
  Inventory inventory{.vendor = Vendor::amd};
  for (const json& gpu : list) {
    const std::string bdf = text_member(member(gpu, "bus"), "bdf");
    const auto id = bus_id(bdf);
    const auto node = id ? find_render_node(*id, root) : std::nullopt;
    if (!node) {
      spdlog::error("amd-smi: the GPU at {} has no render node", printable(bdf));
      continue;
    }
    inventory.gpus.push_back(
        {.id = *node, .name = text_member(member(gpu, "asic"), "market_name"), .memory = vram(gpu)});
    if (inventory.driver_version.empty()) inventory.driver_version = driver_of(gpu);
  }
  return inventory;
}

Inventory detect_amd(docker::EngineClient& engine, docker::ImagePuller& puller, const std::filesystem::path& root,
                     const std::stop_token& stop) {
  ToolContainer tool{.image = image,
                     .command = {"static", "--json", "--asic", "--vram", "--bus", "--driver"},
                     .device = "/dev/kfd",
                     .more_devices = {"/dev/dri"}};
  ToolResult result = run_tool_container(engine, puller, tool, stop);
  if (result.exit_code != 0) {
    spdlog::warn("amd-smi with --driver exited with status {}: {}", result.exit_code,
                 printable(trim(result.output.errors)));
    tool.command.pop_back();
    result = run_tool_container(engine, puller, tool, stop);
  }
  if (result.exit_code != 0) {
    throw Error(ErrorKind::unavailable, std::format("amd-smi exited with status {}: {}", result.exit_code,
                                                    printable(trim(result.output.errors))));
  }
  return parse_amd_smi(result.output.output, root);
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

bool is_render_node(std::string_view path) { return path.starts_with(render_node); }

}  // namespace dstack::shim::gpu
