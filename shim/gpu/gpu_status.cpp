#include "shim/gpu/gpu_status.h"

#include <algorithm>

#include "common/os/file.h"
#include "common/text/number.h"
#include "shim/gpu/nvidia.h"
#include "shim/gpu/tool_output.h"

namespace dstack::shim::gpu {

namespace {

namespace fs = std::filesystem;

bool says_lost(std::string_view field) { return field.contains("lost") || field.contains("Unknown Error"); }

std::uint64_t count_of(std::string_view field) { return text::parse_number<std::uint64_t>(field).value_or(0); }

// Of "ue: 2\nce: 17\n".
std::uint64_t uncorrected_in(const fs::path& file) {
  constexpr std::string_view kUncorrected = "ue: ";
  const std::string content = os::try_read_file(file).value_or("");
  for (const std::string_view line : lines_of(content)) {
    if (line.starts_with(kUncorrected)) return count_of(line.substr(kUncorrected.size()));
  }
  return 0;
}

}  // namespace

std::vector<GpuStatus> parse_nvidia_status(std::string_view output) {
  std::vector<GpuStatus> all;
  for (const std::string_view line : lines_of(output)) {
    const auto fields = csv_fields(line);
    if (fields.size() != 3 || !is_id(fields[0])) continue;
    all.push_back({.id = std::string(fields[0]),
                   .bus_id = short_bus_id(fields[1]),
                   .uncorrected = count_of(fields[2]),
                   .is_lost = std::ranges::any_of(fields, says_lost)});
  }
  return all;
}

std::vector<GpuStatus> parse_gaudi_status(std::string_view output) {
  std::vector<GpuStatus> all;
  for (const std::string_view line : lines_of(output)) {
    const auto fields = csv_fields(line);
    if (fields.size() != 2 || !is_id(fields[0])) continue;
    all.push_back({.id = std::string(fields[0]),
                   .bus_id = "",
                   .uncorrected = count_of(fields[1]),
                   .is_lost = std::ranges::any_of(fields, says_lost)});
  }
  return all;
}

std::vector<GpuStatus> read_amd_status(const std::vector<Gpu>& gpus, const fs::path& root) {
  std::vector<GpuStatus> all;
  for (const Gpu& gpu : gpus) {
    const fs::path device = root / "sys/class/drm" / fs::path(gpu.id).filename() / "device";
    std::error_code failure;
    if (!fs::exists(device, failure)) continue;
    GpuStatus status{.id = gpu.id};
    for (const std::string& name : os::list_folder(device / "ras")) {
      if (name.ends_with("_err_count")) status.uncorrected += uncorrected_in(device / "ras" / name);
    }
    all.push_back(std::move(status));
  }
  return all;
}

std::vector<std::string> parse_hot_gpus(std::string_view output) {
  std::vector<std::string> hot;
  for (const std::string_view line : lines_of(output)) {
    const auto fields = csv_fields(line);
    if (fields.size() == 3 && is_id(fields[0]) && (fields[1] == "Active" || fields[2] == "Active"))
      hot.emplace_back(fields[0]);
  }
  return hot;
}

std::vector<GpuProcess> parse_gpu_processes(std::string_view output) {
  std::vector<GpuProcess> all;
  for (const std::string_view line : lines_of(output)) {
    const auto fields = csv_fields(line);
    if (fields.size() != 3 || !is_id(fields[0])) continue;
    const auto pid = text::parse_number<int>(fields[1]);
    if (!pid || *pid <= 0) continue;
    all.push_back({.gpu_id = std::string(fields[0]),
                   .pid = *pid,
                   .memory = text::parse_number<std::int64_t>(fields[2]).value_or(0)});
  }
  return all;
}

}  // namespace dstack::shim::gpu
