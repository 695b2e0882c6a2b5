#include "shim/gpu/nvidia.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <format>
#include <optional>
#include <set>

#include "common/error.h"
#include "common/os/file.h"
#include "shim/gpu/tool_output.h"

namespace dstack::shim::gpu {

namespace {

constexpr const char* modeset_node = "/dev/nvidia-modeset";
constexpr const char* display = "display";

bool is_uuid(std::string_view text) {
  const auto is_digit = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == '-';
  };
  constexpr std::string_view prefix = "GPU-";
  return text.starts_with(prefix) && text.size() > prefix.size() &&
         std::ranges::all_of(text.substr(prefix.size()), is_digit);
}

// "00000000:18:00.0" and "0000:18:00.0" are the same place; nvidia-smi writes the first, the kernel the second.
std::string short_bus_id(std::string_view text) {
  constexpr std::size_t long_domain = 8;
  if (text.find(':') == long_domain) text.remove_prefix(4);
  std::string id(text);
  std::ranges::transform(id, id.begin(), [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c; });
  return id;
}

// What the driver tells of its devices, by their bus ids.
std::map<std::string, NvidiaDevice> read_devices(const std::filesystem::path& root) {
  std::map<std::string, NvidiaDevice> devices;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(root / "proc/driver/nvidia/gpus", error)) {
    if (const auto text = os::try_read_file(entry.path() / "information")) {
      devices[short_bus_id(entry.path().filename().string())] = parse_nvidia_information(*text);
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
  std::error_code error;
  const auto folder = root / std::format("proc/driver/nvidia/capabilities/gpu{}/mig", minor);
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().filename().string().starts_with("gi")) return true;
  }
  return false;
}

// Asks for the bus ids too where the driver's files alone do not say which device is which GPU.
void add_bus_ids(Inventory& inventory, const std::filesystem::path& root, os::Clock& clock) {
  const auto devices = read_devices(root);
  const auto is_known = [&devices](const Gpu& gpu) { return minor_of(gpu, devices).has_value(); };
  if (devices.empty() || std::ranges::all_of(inventory.gpus, is_known)) return;
  try {
    const std::string output =
        run_driver_tool({"nvidia-smi", "--query-gpu=uuid,pci.bus_id", "--format=csv,noheader"}, clock);
    for (const std::string_view line : lines_of(output)) {
      const auto fields = csv_fields(line);
      const auto gpu = std::ranges::find(inventory.gpus, fields[0], &Gpu::id);
      if (fields.size() == 2 && gpu != inventory.gpus.end()) gpu->bus_id = short_bus_id(fields[1]);
    }
  } catch (const Error& error) {
    spdlog::warn("the NVIDIA GPUs' bus ids are not known: {}", error.what());
  }
}

}  // namespace

Inventory parse_nvidia_smi(std::string_view output) {
  Inventory inventory{.vendor = Vendor::nvidia};
  std::set<std::string, std::less<>> known;
  for (const std::string_view line : lines_of(output)) {
    const auto fields = csv_fields(line);
    if (fields.size() != 4 || fields[0].empty() || !is_uuid(fields[2]) || !known.emplace(fields[2]).second) {
      throw Error(ErrorKind::unavailable, std::format("nvidia-smi: not a GPU: {}", printable(line)));
    }
    const auto memory = parse_mebibytes(fields[1]);
    if (!memory) spdlog::warn("nvidia-smi: the memory of {} is {}", fields[2], printable(fields[1]));
    inventory.gpus.push_back(
        {.id = std::string(fields[2]), .name = std::string(fields[0]), .memory = memory.value_or(0)});
    if (inventory.driver_version.empty()) inventory.driver_version = driver_version(fields[3]);
  }
  return inventory;
}

Inventory detect_nvidia(const std::filesystem::path& root, os::Clock& clock) {
  Inventory inventory = parse_nvidia_smi(run_driver_tool(
      {"nvidia-smi", "--query-gpu=name,memory.total,uuid,driver_version", "--format=csv,noheader,nounits"}, clock));
  add_bus_ids(inventory, root, clock);
  return inventory;
}

NvidiaDevice parse_nvidia_information(std::string_view text) {
  NvidiaDevice device;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view name = trim(line.substr(0, colon));
    const std::string_view value = trim(line.substr(colon + 1));
    if (name == "GPU UUID" && is_uuid(value)) device.uuid = value;
    if (name == "Device Minor") {
      int minor = -1;
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), minor);
      if (error == std::errc() && end == value.data() + value.size() && minor >= 0) device.minor = minor;
    }
  }
  return device;
}

docker::GpuSettings nvidia_settings(const std::vector<Gpu>& gpus, const std::vector<std::string>& ids,
                                    const std::filesystem::path& root) {
  docker::GpuSettings settings;
  if (ids.empty()) return settings;
  settings.nvidia_ids = ids;
  settings.nvidia_capabilities = {"gpu", "utility", "compute", "graphics", "video", display, "compat32"};

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
  for (const char* node : {"/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", modeset_node})
    nodes.emplace_back(node);
  for (const std::string& node : nodes) {
    if (std::filesystem::exists(root / node.substr(1), ignored)) {
      settings.devices.push_back({.path_on_host = node, .path_in_container = node});
    }
  }
  return settings;
}

bool fails_for_display(const docker::GpuSettings& settings, std::string_view reason) {
  return std::ranges::contains(settings.nvidia_capabilities, display) && reason.contains(modeset_node);
}

void drop_display(docker::GpuSettings& settings) {
  std::erase(settings.nvidia_capabilities, display);
  std::erase_if(settings.devices,
                [](const docker::DeviceMapping& device) { return device.path_on_host == modeset_node; });
}

}  // namespace dstack::shim::gpu
