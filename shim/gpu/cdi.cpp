#include "shim/gpu/cdi.h"

#include <algorithm>
#include <array>
#include <format>
#include <nlohmann/json.hpp>

#include "common/os/file.h"
#include "common/text/letter_case.h"
#include "common/text/number.h"
#include "common/text/split.h"
#include "common/text/trim.h"

namespace dstack::shim::gpu {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::string_view kGpuKind = "nvidia.com/gpu=";

std::string_view unquoted(std::string_view value) {
  value = text::trim(value);
  if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') && value.back() == value.front())
    return value.substr(1, value.size() - 2);
  return value;
}

// What of YAML such a file needs: the kind, and the names, which only devices have.
std::vector<std::string> devices_of_yaml(std::string_view yaml) {
  std::string kind;
  std::vector<std::string> names;
  for (const std::string_view line : text::split_lines(yaml)) {
    std::string_view entry = text::trim(line);
    if (entry.starts_with("- ")) entry = text::trim(entry.substr(2));
    if (entry.starts_with("kind:")) kind = unquoted(entry.substr(5));
    if (entry.starts_with("name:")) names.emplace_back(unquoted(entry.substr(5)));
  }
  for (std::string& name : names) name = std::format("{}={}", kind, name);
  return names;
}

std::vector<std::string> devices_of_json(std::string_view text) {
  const json spec = json::parse(text, nullptr, false);
  std::vector<std::string> names;
  if (!spec.is_object() || !spec.contains("kind") || !spec["kind"].is_string()) return names;
  if (!spec.contains("devices") || !spec["devices"].is_array()) return names;
  for (const json& device : spec["devices"]) {
    if (device.is_object() && device.contains("name") && device["name"].is_string())
      names.push_back(std::format("{}={}", spec["kind"].get<std::string>(), device["name"].get<std::string>()));
  }
  return names;
}

}  // namespace

std::vector<std::string> cdi_devices(const fs::path& root) {
  std::vector<std::string> devices;
  for (const char* folder : {"etc/cdi", "var/run/cdi"}) {
    std::error_code failure;
    fs::directory_iterator entry(root / folder, failure);
    while (!failure && entry != fs::directory_iterator()) {
      const std::string extension = entry->path().extension().string();
      const std::string content = os::try_read_file(entry->path()).value_or("");
      if (extension == ".yaml" || extension == ".yml") devices.append_range(devices_of_yaml(content));
      if (extension == ".json") devices.append_range(devices_of_json(content));
      entry.increment(failure);
    }
  }
  return devices;
}

bool needs_cdi(std::string_view reason) {
  const std::string text = text::lower_case(reason);
  return text.contains("could not select device driver") || text.contains("unresolvable cdi devices");
}

bool use_cdi(docker::GpuSettings& settings, const std::vector<Gpu>& gpus, const std::vector<std::string>& available) {
  if (settings.nvidia_ids.empty()) return false;
  std::vector<std::string> names;
  for (const std::string& id : settings.nvidia_ids) {
    const auto place = std::ranges::find(gpus, id, &Gpu::id) - gpus.begin();
    const std::array candidates{std::format("{}{}", kGpuKind, id), std::format("{}{}", kGpuKind, place)};
    const auto name = std::ranges::find_if(
        candidates, [&available](const std::string& candidate) { return std::ranges::contains(available, candidate); });
    if (name == candidates.end()) return false;
    names.push_back(*name);
  }
  settings.cdi_devices = std::move(names);
  settings.nvidia_ids.clear();
  settings.nvidia_capabilities.clear();
  return true;
}

std::string id_of_cdi_device(std::string_view name, const std::vector<Gpu>& gpus) {
  if (!name.starts_with(kGpuKind)) return std::string(name);
  const std::string_view device = name.substr(kGpuKind.size());
  const auto place = text::parse_number<std::size_t>(device);
  return place && *place < gpus.size() ? gpus[*place].id : std::string(device);
}

}  // namespace dstack::shim::gpu
