#include "shim/top/report.h"

#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>

#include "shim/client/age.h"
#include "shim/client/find_task.h"
#include "shim/client/text.h"
#include "shim/top/figures.h"

namespace dstack::shim::top {

namespace {

using nlohmann::json;

template <typename Value>
json or_null(const std::optional<Value>& value) {
  return value ? json(*value) : json();
}

json memory_json(const std::optional<Memory>& memory) {
  return memory ? json{{"used", memory->used}, {"total", memory->total}} : json();
}

json task_json(const TaskRow& row) {
  json pull;
  if (row.task.pull) {
    pull = {{"downloaded", row.task.pull->downloaded},
            {"total", row.task.pull->total},
            {"total_is_final", row.task.pull->total_is_final}};
  }
  return {{"id", row.task.id},
          {"name", row.task.name},
          {"image", row.task.image},
          {"status", row.task.status},
          {"local", row.task.local},
          {"age_seconds", row.age_seconds},
          {"cpu_percent", or_null(row.cpu_percent)},
          {"memory", memory_json(row.memory)},
          {"gpus", row.task.gpu_ids},
          {"gpu_percent", or_null(row.gpu_percent)},
          {"gpu_memory", memory_json(row.gpu_memory)},
          {"pull", std::move(pull)}};
}

json gpu_json(const GpuRow& gpu) {
  return {{"id", gpu.id},
          {"name", gpu.name},
          {"use_percent", or_null(gpu.use_percent)},
          {"memory", memory_json(gpu.memory)},
          {"temperature", or_null(gpu.temperature)},
          {"task", gpu.task_id.empty() ? json() : json(gpu.task_id)}};
}

// Rows under headings, each column as wide as its widest cell.
std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], client::columns(row[i]));
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line += std::string(widths[i] - client::columns(row[i]) + 2, ' ');
    }
    text += line + "\n";
  }
  return text;
}

// Higher figures first; a missing one counts as none.
double figure(const TaskRow& row, Order order) {
  switch (order) {
    case Order::cpu: return row.cpu_percent.value_or(-1);
    case Order::memory: return row.memory ? static_cast<double>(row.memory->used) : -1;
    case Order::gpu: return row.gpu_percent.value_or(-1);
    case Order::age: return -static_cast<double>(row.age_seconds);
    case Order::name: break;
  }
  return 0;
}

}  // namespace

void sort_tasks(std::vector<TaskRow>& tasks, Order order) {
  std::ranges::stable_sort(tasks, [order](const TaskRow& a, const TaskRow& b) {
    if (a.task.ended() != b.task.ended()) return b.task.ended();
    if (order == Order::name) return a.task.name < b.task.name;
    return figure(a, order) > figure(b, order);
  });
}

std::string as_text(const Snapshot& snapshot) {
  std::string text =
      std::format("{}  cpu {}  memory {}  disk {}\n", client::legible(snapshot.host),
                  percent_text(snapshot.cpu_percent), memory_text(snapshot.memory), memory_text(snapshot.disk));
  if (!snapshot.problem.empty()) text += client::legible(snapshot.problem) + "\n";
  if (!snapshot.gpus.empty()) {
    std::vector<std::vector<std::string>> rows{{"GPU", "NAME", "USE", "MEMORY", "TEMP", "TASK"}};
    for (const GpuRow& gpu : snapshot.gpus) {
      rows.push_back({client::legible(gpu.id), client::legible(gpu.name), percent_text(gpu.use_percent),
                      memory_text(gpu.memory), temperature_text(gpu.temperature),
                      gpu.task_id.empty() ? "-" : client::legible(gpu.task_id)});
    }
    text += "\n" + table(rows);
  }
  std::vector<std::vector<std::string>> rows{
      {"ID", "NAME", "STATUS", "AGE", "CPU", "MEMORY", "GPU", "GPU MEMORY", "IMAGE"}};
  for (const TaskRow& row : snapshot.tasks) {
    rows.push_back({client::legible(row.task.id), client::legible(row.task.name), status_text(row.task),
                    client::age_text(row.age_seconds), percent_text(row.cpu_percent), bytes_text(row.memory),
                    percent_text(row.gpu_percent), memory_text(row.gpu_memory), client::legible(row.task.image)});
  }
  return text + "\n" + table(rows);
}

json as_json(const Snapshot& snapshot) {
  json tasks = json::array();
  for (const TaskRow& row : snapshot.tasks) tasks.push_back(task_json(row));
  json gpus = json::array();
  for (const GpuRow& gpu : snapshot.gpus) gpus.push_back(gpu_json(gpu));
  const auto since_epoch = std::chrono::duration_cast<std::chrono::milliseconds>(snapshot.at.time_since_epoch());
  return {{"at", client::utc_text(since_epoch.count())},
          {"host", snapshot.host},
          {"problem", snapshot.problem.empty() ? json() : json(snapshot.problem)},
          {"cpu_percent", or_null(snapshot.cpu_percent)},
          {"memory", memory_json(snapshot.memory)},
          {"disk", memory_json(snapshot.disk)},
          {"tasks", std::move(tasks)},
          {"gpus", std::move(gpus)}};
}

}  // namespace dstack::shim::top
