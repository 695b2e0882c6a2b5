#include "shim/gpu/gpu_remarks.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <format>
#include <utility>

#include "common/error.h"
#include "common/os/file.h"
#include "common/text/split.h"
#include "common/text/trim.h"
#include "shim/gpu/nvidia.h"
#include "shim/gpu/tool_output.h"

namespace dstack::shim::gpu {

namespace {

// An id of a container, as all engines have it in the name of a cgroup.
constexpr std::size_t kIdLength = 64;

bool has_container_id(std::string_view cgroup) {
  std::size_t digits = 0;
  for (const char letter : cgroup) {
    const bool is_digit = (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'f');
    digits = is_digit ? digits + 1 : 0;
    if (digits == kIdLength) return true;
  }
  return false;
}

}  // namespace

std::string GpuRemarks::ask(std::vector<std::string> query, const std::stop_token& stop) const {
  query.insert(query.begin(), nvidia_tool(root_));
  return run_driver_tool(std::move(query), clock_, stop).text;
}

void GpuRemarks::look(const std::stop_token& stop) {
  try {
    const auto hot = parse_hot_gpus(ask({"--query-gpu=uuid,clocks_throttle_reasons.hw_thermal_slowdown,"
                                         "clocks_throttle_reasons.sw_thermal_slowdown",
                                         "--format=csv,noheader"},
                                        stop));
    take_hot({hot.begin(), hot.end()});
    take_processes(parse_gpu_processes(
        ask({"--query-compute-apps=gpu_uuid,pid,used_gpu_memory", "--format=csv,noheader,nounits"}, stop)));
  } catch (const std::exception& error) {
    // The question about their health, which was asked before, has logged it.
    if (!stop.stop_requested()) spdlog::debug("Ask nvidia-smi about heat and memory: {}", error.what());
  }
}

void GpuRemarks::take_hot(std::set<std::string> hot) {
  for (const std::string& id : hot) {
    if (!hot_.contains(id)) spdlog::warn("GPU {} is too hot: the driver slows it down", printable(id));
  }
  for (const std::string& id : hot_) {
    if (!hot.contains(id)) spdlog::info("GPU {} is no longer slowed down by heat", printable(id));
  }
  hot_ = std::move(hot);
}

void GpuRemarks::take_processes(const std::vector<GpuProcess>& processes) {
  std::set<std::pair<std::string, int>> outside;
  for (const GpuProcess& process : processes) {
    if (is_in_container(process.pid)) continue;
    const auto& known = *outside.emplace(process.gpu_id, process.pid).first;
    if (outside_.contains(known)) continue;
    const std::string name(
        text::trim(os::try_read_file(root_ / "proc" / std::to_string(process.pid) / "comm").value_or("")));
    spdlog::warn("GPU {}: process {} ({}) outside of any container holds {} MiB of its memory",
                 printable(process.gpu_id), process.pid, printable(name), process.memory);
  }
  outside_ = std::move(outside);
}

// One that has just exited counts as in one: there is nothing to say of it.
bool GpuRemarks::is_in_container(int pid) const {
  const auto cgroups = os::try_read_file(root_ / "proc" / std::to_string(pid) / "cgroup");
  return !cgroups || std::ranges::any_of(text::split(*cgroups, '\n'), has_container_id);
}

}  // namespace dstack::shim::gpu
