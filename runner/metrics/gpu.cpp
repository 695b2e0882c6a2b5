#include "runner/metrics/gpu.h"

#include <spdlog/spdlog.h>
#include <algorithm>
#include <charconv>
#include <string>

#include "common/error.h"
#include "common/os/command.h"

namespace dstack::runner::metrics {

namespace {

constexpr std::chrono::seconds tool_limit{5};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const std::size_t start = std::min(text.find_first_not_of(blanks), text.size());
  text.remove_prefix(start);
  return text.substr(0, text.find_last_not_of(blanks) + 1);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(trimmed(text.substr(0, end)));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::optional<std::uint64_t> parse_figure(std::string_view text) {
  if (text.ends_with('%')) text = trimmed(text.substr(0, text.size() - 1));
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<GpuMetrics> make(std::string_view memory_mib, std::string_view percent) {
  const auto memory = parse_figure(memory_mib);
  const auto utilization = parse_figure(percent);
  if (!memory || !utilization) return std::nullopt;
  return GpuMetrics{.memory_usage_bytes = *memory << 20, .utilization_percent = *utilization};
}

std::vector<std::string> tool_for(gpu::Vendor vendor) {
  switch (vendor) {
    case gpu::Vendor::nvidia:
      return {"nvidia-smi", "--query-gpu=memory.used,utilization.gpu", "--format=csv,noheader,nounits"};
    case gpu::Vendor::amd: return {"amd-smi", "monitor", "-vu", "--csv"};
    case gpu::Vendor::intel:
      return {"hl-smi", "--query-aip=memory.used,utilization.aip", "--format=csv,noheader,nounits"};
    case gpu::Vendor::tenstorrent:
    case gpu::Vendor::none: break;
  }
  return {};
}

}  // namespace

std::optional<std::vector<GpuMetrics>> parse_smi_csv(std::string_view output) {
  std::vector<GpuMetrics> gpus;
  for (const std::string_view line : split(output, '\n')) {
    if (line.empty()) continue;
    const auto fields = split(line, ',');
    const auto gpu = fields.size() == 2 ? make(fields[0], fields[1]) : std::nullopt;
    if (!gpu) return std::nullopt;
    gpus.push_back(*gpu);
  }
  return gpus;
}

std::optional<std::vector<GpuMetrics>> parse_amd_smi_csv(std::string_view output) {
  const auto lines = split(trimmed(output), '\n');
  const auto header = split(lines[0], ',');
  const auto percent = static_cast<std::size_t>(std::ranges::find(header, "gfx") - header.begin());
  const auto memory = static_cast<std::size_t>(std::ranges::find(header, "vram_used") - header.begin());
  if (percent == header.size() || memory == header.size()) return std::nullopt;
  std::vector<GpuMetrics> gpus;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const auto fields = split(lines[i], ',');
    const auto gpu = fields.size() > std::max(percent, memory) ? make(fields[memory], fields[percent]) : std::nullopt;
    if (!gpu) return std::nullopt;
    gpus.push_back(*gpu);
  }
  return gpus;
}

std::vector<GpuMetrics> read_gpu_metrics(gpu::Vendor vendor, os::Clock& clock) {
  const std::vector<std::string> tool = tool_for(vendor);
  if (tool.empty()) return {};
  try {
    const os::CommandResult result =
        os::run_command({.arguments = tool, .environment = {}, .input = {}, .limit = tool_limit}, {}, clock);
    if (!result.succeeded()) {
      spdlog::debug("{} {}", tool[0], result.describe());
      return {};
    }
    auto gpus = vendor == gpu::Vendor::amd ? parse_amd_smi_csv(result.output) : parse_smi_csv(result.output);
    if (!gpus) spdlog::debug("{} printed something unknown: {}", tool[0], printable(result.output));
    return std::move(gpus).value_or(std::vector<GpuMetrics>{});
  } catch (const Error& error) {
    spdlog::debug("GPU metrics: {}", error.what());
    return {};
  }
}

std::vector<GpuMetrics> GpuReader::read() {
  std::unique_lock lock(mutex_);
  if (reading_) {
    ++waiting_;
    changed_.wait(lock, [this] { return !reading_; });
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
