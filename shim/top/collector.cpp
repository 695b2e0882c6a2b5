#include "shim/top/collector.h"

#include <algorithm>

#include "common/error.h"
#include "common/os/host_name.h"
#include "shim/client/age.h"

namespace dstack::shim::top {

namespace {

constexpr std::chrono::seconds kEngineLimit{3};

void add_problem(Snapshot& snapshot, std::string_view problem) {
  if (snapshot.problem.empty()) snapshot.problem = problem;
}

bool may_run(const client::TaskEntry& task) { return task.status == "running" && !task.container_id.empty(); }

}  // namespace

Collector::Collector(client::ShimApi& shim, docker::EngineClient* engine, std::string engine_problem,
                     std::function<std::vector<GpuRow>()> gpus, os::Clock& clock)
    : shim_(shim), engine_(engine), engine_problem_(std::move(engine_problem)), gpus_(std::move(gpus)), clock_(clock) {}

Snapshot Collector::collect() {
  Snapshot snapshot;
  snapshot.at = clock_.wall();
  snapshot.host = os::host_name();
  collect_tasks(snapshot);
  collect_usage(snapshot);
  collect_host(snapshot);
  try {
    snapshot.gpus = gpus_();
  } catch (const std::exception& error) {
    add_problem(snapshot, error.what());
  }
  match_gpus(snapshot);
  return snapshot;
}

void Collector::collect_tasks(Snapshot& snapshot) {
  try {
    for (auto& task : shim_.tasks()) {
      const std::int64_t age = task.submitted_at ? client::seconds_since(*task.submitted_at, clock_) : 0;
      snapshot.tasks.push_back({.task = std::move(task), .age_seconds = age});
    }
  } catch (const std::exception& error) {
    add_problem(snapshot, error.what());
  }
}

void Collector::collect_usage(Snapshot& snapshot) {
  if (engine_ == nullptr) {
    add_problem(snapshot, engine_problem_);
    return;
  }
  std::map<std::string, CpuSample> seen;
  try {
    if (data_folder_.empty()) data_folder_ = engine_->info({.limit = kEngineLimit}).root_directory;
    for (TaskRow& row : snapshot.tasks) {
      if (!may_run(row.task)) continue;
      const auto usage = engine_->usage(row.task.container_id, {.limit = kEngineLimit});
      if (!usage) continue;
      row.memory = Memory{.used = usage->memory, .total = usage->memory_limit};
      row.cpu_percent = cpu_percent_of(row.task.container_id, usage->cpu_nanoseconds);
      seen[row.task.container_id] = {.nanoseconds = usage->cpu_nanoseconds, .at = clock_.now()};
    }
  } catch (const std::exception& error) {
    add_problem(snapshot, error.what());
  }
  cpu_samples_ = std::move(seen);
}

void Collector::collect_host(Snapshot& snapshot) {
  const auto ticks = read_cpu_ticks();
  if (ticks && host_ticks_) snapshot.cpu_percent = cpu_percent(*host_ticks_, *ticks);
  host_ticks_ = ticks;
  snapshot.memory = read_memory();
  snapshot.disk = read_disk(data_folder_.empty() ? "/" : data_folder_);
}

std::optional<double> Collector::cpu_percent_of(const std::string& container, std::uint64_t nanoseconds) {
  const auto before = cpu_samples_.find(container);
  if (before == cpu_samples_.end() || nanoseconds < before->second.nanoseconds) return std::nullopt;
  const std::chrono::duration<double, std::nano> passed = clock_.now() - before->second.at;
  if (passed.count() <= 0) return std::nullopt;
  return 100.0 * static_cast<double>(nanoseconds - before->second.nanoseconds) / passed.count();
}

void match_gpus(Snapshot& snapshot) {
  for (TaskRow& row : snapshot.tasks) {
    if (row.task.ended()) continue;
    int use = 0;
    int known = 0;
    for (GpuRow& gpu : snapshot.gpus) {
      if (!std::ranges::contains(row.task.gpu_ids, gpu.id)) continue;
      gpu.task_id = row.task.id;
      if (gpu.use_percent) {
        use += *gpu.use_percent;
        ++known;
      }
      if (gpu.memory) {
        if (!row.gpu_memory) row.gpu_memory = Memory{};
        row.gpu_memory->used += gpu.memory->used;
        row.gpu_memory->total += gpu.memory->total;
      }
    }
    if (known > 0) row.gpu_percent = use / known;
  }
}

}  // namespace dstack::shim::top
