#include "shim/top/gpu_usage.h"

#include <format>

#include "common/error.h"
#include "common/gpu/vendor.h"
#include "common/os/command.h"
#include "common/text/number.h"
#include "common/text/split.h"
#include "common/text/trim.h"

namespace dstack::shim::top {

namespace {

constexpr std::chrono::seconds kToolLimit{5};
constexpr std::size_t kFields = 6;  // id, name, use, memory used, memory in all, temperature

std::optional<int> number(std::string_view text) { return text::parse_number<int>(text::trim(text)); }

std::optional<Memory> memory(std::string_view used_mib, std::string_view total_mib) {
  const auto used = text::parse_number<std::uint64_t>(text::trim(used_mib));
  const auto total = text::parse_number<std::uint64_t>(text::trim(total_mib));
  if (!used || !total) return std::nullopt;
  return Memory{.used = *used << 20, .total = *total << 20};
}

std::vector<GpuRow> parse_rows(std::string_view output, auto is_id) {
  std::vector<GpuRow> gpus;
  for (const std::string_view line : text::split_lines(output)) {
    const auto fields = text::split(line, ',');
    if (fields.size() != kFields || !is_id(text::trim(fields[0]))) continue;
    gpus.push_back({.id = std::string(text::trim(fields[0])),
                    .name = std::string(text::trim(fields[1])),
                    .use_percent = number(fields[2]),
                    .memory = memory(fields[3], fields[4]),
                    .temperature = number(fields[5]),
                    .task_id = {}});
  }
  return gpus;
}

std::string run_tool(std::vector<std::string> arguments) {
  const std::string name = arguments[0];
  const os::CommandResult result = os::run_command({.arguments = std::move(arguments), .limit = kToolLimit});
  // An exit status that only warns comes with rows.
  if (result.output.empty() && !result.succeeded())
    throw Error(ErrorKind::unavailable, std::format("{} {}", name, result.describe()));
  return result.output;
}

}  // namespace

std::vector<GpuRow> parse_nvidia_usage(std::string_view output) {
  return parse_rows(output, [](std::string_view id) { return id.starts_with("GPU-") || id.starts_with("MIG-"); });
}

std::vector<GpuRow> parse_gaudi_usage(std::string_view output) {
  return parse_rows(output, [](std::string_view id) { return text::is_digits(id); });
}

std::vector<GpuRow> ask_gpus(const std::filesystem::path& root) {
  switch (dstack::gpu::detect_vendor(root)) {
    case dstack::gpu::Vendor::nvidia:
      return parse_nvidia_usage(
          run_tool({dstack::gpu::nvidia_tool(root),
                    "--query-gpu=uuid,name,utilization.gpu,memory.used,memory.total,temperature.gpu",
                    "--format=csv,noheader,nounits"}));
    case dstack::gpu::Vendor::intel:
      return parse_gaudi_usage(
          run_tool({"hl-smi", "--query-aip=index,name,utilization.aip,memory.used,memory.total,temperature.aip",
                    "--format=csv,noheader,nounits"}));
    case dstack::gpu::Vendor::amd:
    case dstack::gpu::Vendor::tenstorrent:
    case dstack::gpu::Vendor::none: break;
  }
  return {};
}

}  // namespace dstack::shim::top
