#include "shim/gpu/nvidia.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <format>
#include <optional>

#include "common/error.h"
#include "common/os/directory.h"
#include "common/os/file.h"
#include "common/text/number.h"
#include "common/text/split.h"
#include "common/text/trim.h"
#include "shim/gpu/machine_memory.h"
#include "shim/gpu/tool_output.h"

namespace dstack::shim::gpu {

std::string short_bus_id(std::string_view text) {
  constexpr std::size_t long_domain = 8;
  if (text.find(':') == long_domain) text.remove_prefix(4);
  std::string id(text);
  std::ranges::transform(id, id.begin(), [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c; });
  return id;
}

namespace {

constexpr const char* kModesetNode = "/dev/nvidia-modeset";
constexpr const char* kDisplay = "display";

bool is_uuid(std::string_view text) {
  constexpr std::size_t prefix = 4;
  return (text.starts_with("GPU-") || text.starts_with("MIG-")) && text.size() > prefix &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f && c != '?'; });
}

// Where the id stands in a row of name, memory, id and driver. A name may have commas of its own, the driver may be
// missing, and an id may be of a shape that is not known yet.
std::optional<std::size_t> find_id(const std::vector<std::string_view>& fields) {
  for (std::size_t i = 2; i < fields.size(); ++i) {
    if (is_uuid(fields[i])) return i;
  }
  if (fields.size() < 4) return std::nullopt;
  const std::size_t place = fields.size() - 2;
  const std::string_view memory = fields[place - 1];
  const bool is_row = is_id(fields[place]) && (parse_mebibytes(memory) || is_placeholder(memory));
  return is_row ? std::optional(place) : std::nullopt;
}

// Chips whose GPU has no memory of its own: the tool then prints a placeholder.
bool shares_machine_memory(std::string_view name) {
  constexpr std::array<std::string_view, 8> chips{"GB10", "GB20", "N1X", "Thor", "Orin", "Xavier", "Tegra", "Jetson"};
  return std::ranges::any_of(chips, [name](std::string_view chip) { return name.contains(chip); });
}

// What the driver tells of its devices, by their bus ids.
std::map<std::string, NvidiaDevice> read_devices(const std::filesystem::path& root) {
  std::map<std::string, NvidiaDevice> devices;
  const std::filesystem::path folder = root / "proc/driver/nvidia/gpus";
  for (const std::string& name : os::list_directory(folder).names) {
    if (const auto text = os::try_read_file(folder / name / "information")) {
      devices[short_bus_id(name)] = parse_nvidia_information(*text);
    }
  }
  return devices;
}

std::optional<int> minor_of(const Gpu& gpu, const std::map<std::string, NvidiaDevice>& devices) {
  for (const auto& [bus_id, device] : devices) {
    if (device.uuid == gpu.id && device.minor >= 0) return device.minor;
  }
  const auto found = devices.find(gpu.bus_id);
  if (gpu.bus_id.empty() || found == devices.end() || found->second.minor < 0) return std::nullopt;
  return found->second.minor;
}

// A GPU that is divided has instances there.
bool is_divided(int minor, const std::filesystem::path& root) {
  const auto folder = root / std::format("proc/driver/nvidia/capabilities/gpu{}/mig", minor);
  return std::ranges::any_of(os::list_directory(folder).names,
                             [](const std::string& name) { return name.starts_with("gi"); });
}

// Asks for the bus ids too where the driver's files alone do not say which device is which GPU.
void add_bus_ids(Inventory& inventory, const std::filesystem::path& root, os::Clock& clock,
                 const std::stop_token& stop) {
  const auto devices = read_devices(root);
  const auto is_known = [&devices](const Gpu& gpu) { return minor_of(gpu, devices).has_value(); };
  if (devices.empty() || std::ranges::all_of(inventory.gpus, is_known)) return;
  try {
    const std::string output =
        run_driver_tool({dstack::gpu::nvidia_tool(root), "--query-gpu=uuid,pci.bus_id", "--format=csv,noheader"}, clock,
                        stop)
            .text;
    for (const std::string_view line : lines_of(output)) {
      const auto fields = csv_fields(line);
      const auto gpu = std::ranges::find(inventory.gpus, fields[0], &Gpu::id);
      if (fields.size() == 2 && gpu != inventory.gpus.end()) gpu->bus_id = short_bus_id(fields[1]);
    }
  } catch (const std::exception& error) {
    spdlog::warn("the NVIDIA GPUs' bus ids are not known: {}", error.what());
  }
}

}  // namespace

Inventory parse_nvidia_smi(std::string_view output, std::int64_t machine_memory) {
  Inventory inventory{.vendor = Vendor::nvidia};
  SkippedRows skipped("nvidia-smi");
  for (const std::string_view line : lines_of(output)) {
    const auto fields = csv_fields(line);
    const auto place = find_id(fields);
    if (!place) {
      skipped.add(line, "not a GPU");
      continue;
    }
    Gpu gpu{.id = std::string(fields[*place])};
    if (std::ranges::contains(inventory.gpus, gpu.id, &Gpu::id)) {
      skipped.add(line, "this GPU is listed twice");
      continue;
    }
    for (std::size_t i = 0; i + 1 < *place; ++i) gpu.name += (i == 0 ? "" : ", ") + known_value(fields[i]);
    gpu.memory = parse_mebibytes(fields[*place - 1]).value_or(0);
    if (gpu.memory == 0 && shares_machine_memory(gpu.name)) gpu.memory = machine_memory;
    if (gpu.memory == 0) spdlog::warn("nvidia-smi: the memory of {} is not known: {}", gpu.id, printable(line));
    if (inventory.driver_version.empty() && *place + 1 < fields.size())
      inventory.driver_version = known_value(fields[*place + 1]);
    inventory.gpus.push_back(std::move(gpu));
  }
  return inventory;
}

Inventory detect_nvidia(const std::filesystem::path& root, os::Clock& clock, const std::stop_token& stop) {
  const ToolOutput output =
      run_driver_tool({dstack::gpu::nvidia_tool(root), "--query-gpu=name,memory.total,uuid,driver_version",
                       "--format=csv,noheader,nounits"},
                      clock, stop);
  Inventory inventory = require_gpus(parse_nvidia_smi(output.text, machine_memory(root)), "nvidia-smi", output);
  add_bus_ids(inventory, root, clock, stop);
  return inventory;
}

NvidiaDevice parse_nvidia_information(std::string_view text) {
  NvidiaDevice device;
  while (!text.empty()) {
    const std::string_view line = text::take_line(text);
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view name = text::trim(line.substr(0, colon));
    const std::string_view value = text::trim(line.substr(colon + 1));
    if (name == "GPU UUID" && is_uuid(value)) device.uuid = value;
    if (name == "Device Minor") {
      if (const auto minor = text::parse_number<int>(value); minor && *minor >= 0) device.minor = *minor;
    }
  }
  return device;
}

docker::GpuSettings nvidia_settings(const std::vector<Gpu>& gpus, const std::vector<std::string>& ids,
                                    const std::filesystem::path& root) {
  docker::GpuSettings settings;
  if (ids.empty()) return settings;
  settings.nvidia_ids = ids;
  settings.nvidia_capabilities = {"gpu", "utility", "compute", "graphics", "video", kDisplay, "compat32"};

  std::error_code ignored;
  if (!std::filesystem::exists(root / "dev/nvidiactl", ignored)) return settings;  // WSL
  const auto devices = read_devices(root);
  std::vector<std::string> nodes;
  for (const std::string& id : ids) {
    const auto gpu = std::ranges::find(gpus, id, &Gpu::id);
    const auto minor = gpu == gpus.end() ? std::nullopt : minor_of(*gpu, devices);
    if (!minor) {
      spdlog::warn("which device node GPU {} has is not known: a reload of the service manager may take it away",
                   printable(id));
      continue;
    }
    if (is_divided(*minor, root)) return settings;
    nodes.push_back(std::format("/dev/nvidia{}", *minor));
  }
  for (const char* node : {"/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", kModesetNode})
    nodes.emplace_back(node);
  for (const std::string& node : nodes) {
    if (std::filesystem::exists(root / node.substr(1), ignored)) {
      settings.devices.push_back({.path_on_host = node, .path_in_container = node});
    }
  }
  return settings;
}

bool fails_for_display(const docker::GpuSettings& settings, std::string_view reason) {
  return std::ranges::contains(settings.nvidia_capabilities, kDisplay) && reason.contains(kModesetNode);
}

void drop_display(docker::GpuSettings& settings) {
  std::erase(settings.nvidia_capabilities, kDisplay);
  std::erase_if(settings.devices,
                [](const docker::DeviceMapping& device) { return device.path_on_host == kModesetNode; });
}

}  // namespace dstack::shim::gpu
