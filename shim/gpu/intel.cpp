#include "shim/gpu/intel.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "common/error.h"
#include "shim/gpu/tool_output.h"

namespace dstack::shim::gpu {

namespace {

constexpr std::string_view kVisibleDevices = "HABANA_VISIBLE_DEVICES=";

}  // namespace

Inventory parse_hl_smi(std::string_view output) {
  Inventory inventory{.vendor = Vendor::intel};
  SkippedRows skipped("hl-smi");
  for (const std::string_view line : lines_of(output)) {
    const auto fields = csv_fields(line);
    // A name may have commas of its own.
    const std::string_view memory = fields.size() < 3 ? "" : fields[fields.size() - 2];
    const auto size = parse_mebibytes(memory);
    if (fields.size() < 3 || !is_id(fields.back()) || (!size && !is_placeholder(memory))) {
      skipped.add(line, "not an accelerator");
      continue;
    }
    Gpu gpu{.id = std::string(fields.back()), .memory = size.value_or(0)};
    if (std::ranges::contains(inventory.gpus, gpu.id, &Gpu::id)) {
      skipped.add(line, "this accelerator is listed twice");
      continue;
    }
    for (std::size_t i = 0; i + 2 < fields.size(); ++i) gpu.name += (i == 0 ? "" : ", ") + known_value(fields[i]);
    if (!size) spdlog::warn("hl-smi: the memory of accelerator {} is not known: {}", gpu.id, printable(line));
    inventory.gpus.push_back(std::move(gpu));
  }
  return inventory;
}

Inventory detect_intel(os::Clock& clock, const std::stop_token& stop) {
  const ToolOutput output =
      run_driver_tool({"hl-smi", "--query-aip=name,memory.total,index", "--format=csv,noheader,nounits"}, clock, stop);
  return require_gpus(parse_hl_smi(output.text), "hl-smi", output);
}

docker::GpuSettings intel_settings(const std::vector<std::string>& ids) {
  docker::GpuSettings settings;
  if (ids.empty()) return settings;
  std::string variable(kVisibleDevices);
  for (const std::string& id : ids) variable += (&id == &ids.front() ? "" : ",") + id;
  settings.environment = {std::move(variable)};
  settings.runtime = "habana";
  settings.host_ipc = true;
  settings.added_capabilities = {"SYS_NICE"};
  return settings;
}

std::vector<std::string> intel_ids(std::string_view variable) {
  if (!variable.starts_with(kVisibleDevices)) return {};
  std::vector<std::string> ids;
  for (const std::string_view id : csv_fields(variable.substr(kVisibleDevices.size()))) {
    if (is_id(id)) ids.emplace_back(id);
  }
  return ids;
}

}  // namespace dstack::shim::gpu
