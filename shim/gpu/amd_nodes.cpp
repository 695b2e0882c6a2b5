#include "shim/gpu/amd_nodes.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <format>
#include <map>
#include <optional>
#include <system_error>

#include "common/os/file.h"
#include "common/text/number.h"
#include "common/text/trim.h"
#include "shim/gpu/tool_output.h"

namespace dstack::shim::gpu {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kNodePrefix = "/dev/dri/renderD";

// A place on the bus as the kernel's topology has it.
struct Location {
  std::uint32_t domain = 0;
  std::uint32_t place = 0;  // bus << 8 | device << 3 | function

  friend bool operator==(const Location&, const Location&) = default;
};

std::optional<Location> location_of(std::string_view bus_id) {
  const std::size_t dot = bus_id.rfind('.');
  const std::size_t device = bus_id.rfind(':');
  if (dot == std::string_view::npos || device == std::string_view::npos || device == 0 || dot < device)
    return std::nullopt;
  const std::size_t bus = bus_id.rfind(':', device - 1);
  if (bus == std::string_view::npos) return std::nullopt;
  const auto hexadecimal = [&](std::size_t from, std::size_t to) {
    return text::parse_number<std::uint32_t>(bus_id.substr(from, to - from), 16);
  };
  const auto parts = std::array{hexadecimal(0, bus), hexadecimal(bus + 1, device), hexadecimal(device + 1, dot),
                                hexadecimal(dot + 1, bus_id.size())};
  const auto& [domain, bus_number, device_number, function] = parts;
  if (!domain || !bus_number || !device_number || !function) return std::nullopt;
  return Location{.domain = *domain, .place = *bus_number << 8 | *device_number << 3 | *function};
}

// A GPU or a part of one, as the kernel's compute driver has it.
struct ComputeNode {
  Location location;
  std::uint32_t partition = 0;
  std::string render_node;
  bool has_processor_cores = false;
};

std::vector<std::string> sorted_names_in(const fs::path& folder) {
  std::vector<std::string> names = os::list_folder(folder);
  // By their numbers: "renderD99" before "renderD128", "9" before "10".
  std::ranges::sort(names, {}, [](const std::string& name) { return std::pair(name.size(), name); });
  return names;
}

std::vector<ComputeNode> compute_nodes(const fs::path& root) {
  std::vector<ComputeNode> nodes;
  const fs::path folder = root / "sys/class/kfd/kfd/topology/nodes";
  for (const std::string& name : sorted_names_in(folder)) {
    std::map<std::string, std::uint64_t, std::less<>> properties;
    const std::string text = os::try_read_file(folder / name / "properties").value_or("");
    for (const std::string_view line : lines_of(text)) {
      const std::size_t blank = line.find(' ');
      if (blank == std::string_view::npos) continue;
      if (const auto value = text::parse_number<std::uint64_t>(text::trim(line.substr(blank))))
        properties[std::string(line.substr(0, blank))] = *value;
    }
    if (properties["simd_count"] == 0 || properties["drm_render_minor"] == 0) continue;
    const auto location = static_cast<std::uint32_t>(properties["location_id"]);
    nodes.push_back(
        {.location = {.domain = static_cast<std::uint32_t>(properties["domain"]), .place = location & 0xffff},
         .partition = location >> 28,
         .render_node = std::format("{}{}", kNodePrefix, properties["drm_render_minor"]),
         .has_processor_cores = properties["cpu_cores_count"] > 0});
  }
  return nodes;
}

}  // namespace

std::string amd_bus_id(std::string text) {
  const auto belongs = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == ':' || c == '.'; };
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c; });
  return text.size() < 7 || text.contains("..") || !std::ranges::all_of(text, belongs) ? "" : text;
}

std::vector<std::string> amd_render_nodes(const std::string& bus_id, const fs::path& root) {
  std::vector<std::string> nodes;
  const auto add = [&nodes](std::string node) {
    if (!std::ranges::contains(nodes, node)) nodes.push_back(std::move(node));
  };
  // By the link that udev makes.
  std::error_code failure;
  const auto link = fs::canonical(root / "dev/dri/by-path" / std::format("pci-{}-render", bus_id), failure);
  if (!failure) add("/dev/dri/" + link.filename().string());
  // By the kernel's topology: partitions have one place.
  const auto location = location_of(bus_id);
  const auto all = location ? compute_nodes(root) : std::vector<ComputeNode>();
  const auto is_there = [&root](const ComputeNode& node) {
    std::error_code ignored;
    return fs::exists(root / std::string_view(node.render_node).substr(1), ignored);
  };
  for (const ComputeNode& node : all) {
    if (node.location == location && is_there(node)) add(node.render_node);
  }
  // By the device's own folder.
  for (const std::string& name : sorted_names_in(root / "sys/bus/pci/devices" / bus_id / "drm")) {
    if (name.starts_with("renderD")) add("/dev/dri/" + name);
  }
  if (!nodes.empty()) return nodes;
  if (!location) return nodes;
  // Some versions of the tool write a partition's number where a device's function stands.
  for (const ComputeNode& node : all) {
    const Location whole{.domain = location->domain, .place = location->place & ~7u};
    if (node.location == whole && node.partition == (location->place & 7u) && is_there(node)) add(node.render_node);
  }
  return nodes;
}

bool shares_processor_memory(std::string_view render_node, const fs::path& root) {
  return std::ranges::any_of(compute_nodes(root), [render_node](const ComputeNode& node) {
    return node.render_node == render_node && node.has_processor_cores;
  });
}

}  // namespace dstack::shim::gpu
