#include "runner/metrics/gpu.h"

#include <spdlog/spdlog.h>
#include <algorithm>
#include <string>

#include "common/error.h"
#include "common/os/command.h"
#include "common/text/number.h"
#include "common/text/split.h"
#include "common/text/trim.h"

namespace dstack::runner::metrics {

namespace {

constexpr std::chrono::seconds kToolLimit{5};

std::vector<std::string_view> split_and_trim(std::string_view text, char separator) {
  std::vector<std::string_view> parts = text::split(text, separator);
  for (std::string_view& part : parts) part = text::trim(part);
  return parts;
}

std::optional<std::uint64_t> parse_figure(std::string_view text) {
  if (text.ends_with('%')) text = text::trim(text.substr(0, text.size() - 1));
  return text::parse_number<std::uint64_t>(text);
}

// What the tools print for a value that a GPU does not have: "[N/A]", "[Not Supported]", "[Unknown Error]", "N/A".
bool stands_for_no_value(std::string_view field) {
  return field == "N/A" || (field.starts_with('[') && field.ends_with(']'));
}

// Nothing for a line that is not a GPU's, such as a warning; a value that cannot be read is 0.
std::optional<GpuMetrics> make(std::string_view memory_mib, std::string_view percent) {
  const auto memory = parse_figure(memory_mib);
  const auto utilization = parse_figure(percent);
  const bool nothing_known = stands_for_no_value(memory_mib) && stands_for_no_value(percent);
  if (!memory && !utilization && !nothing_known) return std::nullopt;
  constexpr std::uint64_t most_mib = UINT64_MAX >> 20;
  return GpuMetrics{.memory_usage_bytes = std::min(memory.value_or(0), most_mib) << 20,
                    .utilization_percent = utilization.value_or(0)};
}

std::vector<std::string> tool_for(gpu::Vendor vendor, const std::filesystem::path& root) {
  switch (vendor) {
    case gpu::Vendor::nvidia:
      return {gpu::nvidia_tool(root), "--query-gpu=memory.used,utilization.gpu", "--format=csv,noheader,nounits"};
    case gpu::Vendor::amd: return {"amd-smi", "monitor", "-vu", "--csv"};
    case gpu::Vendor::intel:
      return {"hl-smi", "--query-aip=memory.used,utilization.aip", "--format=csv,noheader,nounits"};
    case gpu::Vendor::tenstorrent:
    case gpu::Vendor::none: break;
  }
  return {};
}

// nvidia-smi ends with 14 where a GPU's infoROM is damaged and with 15 where one has fallen off the bus; what it prints
// of the others is as good as ever.
bool only_warns(gpu::Vendor vendor, const os::CommandResult& result) {
  return vendor == gpu::Vendor::nvidia && result.end == os::CommandResult::End::exited &&
         (result.exit_status == 14 || result.exit_status == 15);
}

}  // namespace

std::vector<GpuMetrics> parse_smi_csv(std::string_view output) {
  std::vector<GpuMetrics> gpus;
  for (const std::string_view line : split_and_trim(output, '\n')) {
    const auto fields = split_and_trim(line, ',');
    const auto gpu = fields.size() == 2 ? make(fields[0], fields[1]) : std::nullopt;
    if (gpu) {
      gpus.push_back(*gpu);
    } else if (!line.empty()) {
      spdlog::debug("GPU metrics: skipped {}", printable(line));
    }
  }
  return gpus;
}

std::vector<GpuMetrics> parse_amd_smi_csv(std::string_view output) {
  constexpr std::size_t unknown = SIZE_MAX;
  std::size_t memory = unknown;
  std::size_t percent = unknown;
  std::vector<GpuMetrics> gpus;
  for (const std::string_view line : split_and_trim(output, '\n')) {
    const auto fields = split_and_trim(line, ',');
    if (memory == unknown) {
      // Warnings may come before the header.
      const auto find = [&fields](std::string_view name) {
        return static_cast<std::size_t>(std::ranges::find(fields, name) - fields.begin());
      };
      if (find("gfx") == fields.size() || find("vram_used") == fields.size()) continue;
      percent = find("gfx");
      memory = find("vram_used");
      continue;
    }
    const auto gpu = fields.size() > std::max(percent, memory) ? make(fields[memory], fields[percent]) : std::nullopt;
    if (gpu) {
      gpus.push_back(*gpu);
    } else if (!line.empty()) {
      spdlog::debug("GPU metrics: skipped {}", printable(line));
    }
  }
  return gpus;
}

std::vector<GpuMetrics> read_gpu_metrics(gpu::Vendor vendor, os::Clock& clock, const std::filesystem::path& root) {
  const std::vector<std::string> tool = tool_for(vendor, root);
  if (tool.empty()) return {};
  try {
    const os::CommandResult result =
        os::run_command({.arguments = tool, .environment = {}, .input = {}, .limit = kToolLimit}, {}, clock);
    if (!result.succeeded() && !only_warns(vendor, result)) {
      spdlog::debug("{} {}", tool[0], result.describe());
      return {};
    }
    return vendor == gpu::Vendor::amd ? parse_amd_smi_csv(result.output) : parse_smi_csv(result.output);
  } catch (const std::exception& error) {
    spdlog::debug("GPU metrics: {}", error.what());
    return {};
  }
}

std::vector<GpuMetrics> GpuReader::read() {
  os::Lock lock(mutex_);
  if (reading_) {
    ++waiting_;
    changed_.wait(lock.native(), [this]() DSTACK_REQUIRES(mutex_) { return !reading_; });
    --waiting_;
    return last_;
  }
  reading_ = true;
  lock.unlock();
  std::vector<GpuMetrics> gpus;
  try {
    gpus = read_gpu_metrics(vendor_, clock_);
  } catch (const std::exception& error) {
    spdlog::debug("GPU metrics: {}", error.what());
  }
  lock.lock();
  reading_ = false;
  last_ = std::move(gpus);
  changed_.notify_all();
  return last_;
}

}  // namespace dstack::runner::metrics
