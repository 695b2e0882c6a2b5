#include "shim/gpu/gpu_remarks.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <format>
#include <utility>

#include "common/error.h"
#include "common/gpu/vendor.h"
#include "common/os/file.h"
#include "common/text/split.h"
#include "common/text/trim.h"
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
  query.insert(query.begin(), dstack::gpu::nvidia_tool(root_));
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

void GpuRemarks::set_driver_mismatch(bool found) {
  if (found) seen_ = {};
  seen_.driver_mismatch = found;
}

void GpuRemarks::take_hot(std::set<std::string> hot) {
  for (const std::string& id : hot) {
    if (!seen_.hot.contains(id)) spdlog::warn("GPU {} is too hot: the driver slows it down", printable(id));
  }
  for (const std::string& id : seen_.hot) {
    if (!hot.contains(id)) spdlog::info("GPU {} is no longer slowed down by heat", printable(id));
  }
  seen_.hot = std::move(hot);
}

void GpuRemarks::take_processes(const std::vector<GpuProcess>& processes) {
  const auto is_same = [](const auto& one, const auto& other) {
    return one.gpu_id == other.gpu_id && one.pid == other.pid;
  };
  std::vector<OutsideProcess> outside;
  for (const GpuProcess& process : processes) {
    if (is_in_container(process.pid)) continue;
    const std::string comm = os::try_read_file(root_ / "proc" / std::to_string(process.pid) / "comm").value_or("");
    outside.push_back({.gpu_id = process.gpu_id,
                       .pid = process.pid,
                       .name = std::string(text::trim(comm)),
                       .memory = process.memory});
    const auto is_known = [&](const OutsideProcess& known) { return is_same(known, process); };
    if (std::ranges::any_of(seen_.outside, is_known)) continue;
    spdlog::warn("GPU {}: process {} ({}) outside of any container holds {} MiB of its memory",
                 printable(process.gpu_id), process.pid, printable(outside.back().name), process.memory);
  }
  for (const OutsideProcess& known : seen_.outside) {
    const auto is_still_there = [&](const OutsideProcess& process) { return is_same(process, known); };
    if (!std::ranges::any_of(outside, is_still_there))
      spdlog::info("GPU {}: process {} no longer holds its memory", printable(known.gpu_id), known.pid);
  }
  seen_.outside = std::move(outside);
}

// One that has just exited counts as in one: there is nothing to say of it.
bool GpuRemarks::is_in_container(int pid) const {
  const auto cgroups = os::try_read_file(root_ / "proc" / std::to_string(pid) / "cgroup");
  return !cgroups || std::ranges::any_of(text::split(*cgroups, '\n'), has_container_id);
}

}  // namespace dstack::shim::gpu
