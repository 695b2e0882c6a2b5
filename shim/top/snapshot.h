#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "shim/client/shim_api.h"

// `dstack-shim top`: what the host does at one moment. A figure that could not be read is missing, never 0.
namespace dstack::shim::top {

struct Memory {
  std::uint64_t used = 0;   // bytes
  std::uint64_t total = 0;  // bytes; for a task its limit, or the host's memory
};

struct GpuRow {
  std::string id;  // as the tasks' gpu_ids name it
  std::string name;
  std::optional<int> use_percent;
  std::optional<Memory> memory;
  std::optional<int> temperature;  // degrees Celsius
  std::string task_id;             // that holds it; empty: free
};

struct TaskRow {
  client::TaskEntry task;
  std::int64_t age_seconds = 0;
  std::optional<double> cpu_percent;  // of one core; from the second look on
  std::optional<Memory> memory;
  std::optional<int> gpu_percent;  // mean of its GPUs
  std::optional<Memory> gpu_memory;
};

struct Snapshot {
  std::chrono::system_clock::time_point at;
  std::string host;
  std::string problem;  // what could not be asked, in one line; empty: nothing
  std::vector<TaskRow> tasks;
  std::vector<GpuRow> gpus;
  std::optional<double> cpu_percent;  // of all cores; from the second look on
  std::optional<Memory> memory;
  std::optional<Memory> disk;  // where the engine keeps its data
};

}  // namespace dstack::shim::top
