#include "shim/gpu/intel.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <format>
#include <set>

#include "common/error.h"
#include "shim/gpu/tool_output.h"

namespace dstack::shim::gpu {

namespace {

constexpr std::string_view visible_devices = "HABANA_VISIBLE_DEVICES=";

bool is_index(std::string_view text) {
  return !text.empty() && text.size() <= 4 && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

Inventory parse_hl_smi(std::string_view output) {
  Inventory inventory{.vendor = Vendor::intel};
  std::set<std::string, std::less<>> known;
  for (const std::string_view line : lines_of(output)) {
    const auto fields = csv_fields(line);
    if (fields.size() != 3 || fields[0].empty() || !is_index(fields[2]) || !known.emplace(fields[2]).second) {
      throw Error(ErrorKind::unavailable, std::format("hl-smi: not an accelerator: {}", printable(line)));
    }
    const auto memory = parse_mebibytes(fields[1]);
    if (!memory) spdlog::warn("hl-smi: the memory of accelerator {} is {}", fields[2], printable(fields[1]));
    inventory.gpus.push_back(
        {.id = std::string(fields[2]), .name = std::string(fields[0]), .memory = memory.value_or(0)});
  }
  return inventory;
}

Inventory detect_intel(os::Clock& clock) {
  return parse_hl_smi(
      run_driver_tool({"hl-smi", "--query-aip=name,memory.total,index", "--format=csv,noheader,nounits"}, clock));
}

docker::GpuSettings intel_settings(const std::vector<std::string>& ids) {
  docker::GpuSettings settings;
  if (ids.empty()) return settings;
  std::string variable(visible_devices);
  for (const std::string& id : ids) variable += (&id == &ids.front() ? "" : ",") + id;
  settings.environment = {std::move(variable)};
  settings.runtime = "habana";
  settings.host_ipc = true;
  settings.added_capabilities = {"SYS_NICE"};
  return settings;
}

std::vector<std::string> intel_ids(std::string_view variable) {
  if (!variable.starts_with(visible_devices)) return {};
  std::vector<std::string> ids;
  for (const std::string_view id : csv_fields(variable.substr(visible_devices.size()))) {
    if (is_index(id)) ids.emplace_back(id);
  }
  return ids;
}

}  // namespace dstack::shim::gpu
