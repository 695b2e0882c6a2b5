#include "shim/client/task_table.h"

#include <algorithm>
#include <array>
#include <format>
#include <nlohmann/json.hpp>

#include "shim/client/age.h"
#include "shim/client/find_task.h"
#include "shim/client/text.h"

namespace dstack::shim::client {

using nlohmann::json;

namespace {

constexpr std::size_t kColumnCount = 6;
constexpr std::size_t kNameColumn = 1;
constexpr std::size_t kImageColumn = 2;
constexpr std::size_t kGap = 2;
constexpr std::size_t kLeastWidth = 8;  // of a column that is shortened
using Row = std::array<std::string, kColumnCount>;
using Widths = std::array<std::size_t, kColumnCount>;

constexpr std::array<const char*, kColumnCount> kHeadings{"ID", "NAME", "IMAGE", "STATUS", "AGE", "GPUS"};

std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }

Row row_of(const TaskEntry& task, const os::Clock& clock) {
  return {legible(task.id),
          or_dash(legible(task.name)),
          or_dash(legible(task.image)),
          status_text(task),
          task.submitted_at ? age_text(seconds_since(*task.submitted_at, clock)) : "-",
          std::to_string(task.gpu_ids.size())};
}

Widths widths_of(const std::vector<Row>& rows) {
  Widths widths{};
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < kColumnCount; ++i) widths[i] = std::max(widths[i], columns(row[i]));
  }
  return widths;
}

void fit(std::vector<Row>& rows, std::size_t width) {
  Widths widths = widths_of(rows);
  std::size_t needed = kGap * (kColumnCount - 1);
  for (const std::size_t column : widths) needed += column;
  for (const std::size_t column : {kImageColumn, kNameColumn}) {
    if (needed <= width || widths[column] <= kLeastWidth) continue;
    const std::size_t less = std::min(needed - width, widths[column] - kLeastWidth);
    widths[column] -= less;
    needed -= less;
    // An image's tag says more than its registry.
    const Keep keep = column == kImageColumn ? Keep::end : Keep::beginning;
    for (Row& row : rows) row[column] = shortened(row[column], widths[column], keep);
  }
}

std::string line_of(const Row& row, const Widths& widths) {
  std::string line;
  for (std::size_t i = 0; i < kColumnCount; ++i) {
    line += row[i];
    if (i + 1 < kColumnCount) line.append(widths[i] + kGap - columns(row[i]), ' ');
  }
  return line;
}

}  // namespace

void sort_tasks(std::vector<TaskEntry>& tasks) {
  std::ranges::sort(tasks, [](const TaskEntry& a, const TaskEntry& b) {
    return a.submitted_at == b.submitted_at ? a.id < b.id : a.submitted_at > b.submitted_at;
  });
}

std::string status_text(const TaskEntry& task) {
  if (task.status != "pulling" || !task.pull || task.pull->total <= 0) return legible(task.status);
  return std::format("pulling {}%", task.pull->percent());
}

std::string task_table(std::vector<TaskEntry> tasks, std::optional<std::size_t> width, const os::Clock& clock) {
  sort_tasks(tasks);
  std::vector<Row> rows{Row{}};
  std::ranges::copy(kHeadings, rows.front().begin());
  for (const TaskEntry& task : tasks) {
    rows.push_back(row_of(task, clock));
    if (width) rows.back()[0] = legible(task.id.substr(0, short_length(tasks, task.id)));
  }
  if (width) fit(rows, *width);
  const Widths widths = widths_of(rows);
  std::string table;
  for (const Row& row : rows) {
    const std::string line = line_of(row, widths);
    table += (width ? shortened(line, *width, Keep::beginning) : line) + "\n";
  }
  return table;
}

json task_list(std::vector<TaskEntry> tasks, const os::Clock& clock) {
  sort_tasks(tasks);
  json list = json::array();
  for (const TaskEntry& task : tasks) {
    const bool known = task.submitted_at.has_value();
    list.push_back({{"id", task.id},
                    {"name", task.name},
                    {"image", task.image},
                    {"status", task.status},
                    {"submitted_at", known ? json(utc_text(*task.submitted_at)) : json()},
                    {"age_seconds", known ? json(seconds_since(*task.submitted_at, clock)) : json()},
                    {"gpus", task.gpu_ids},
                    {"local", task.local},
                    {"termination_reason", task.termination_reason},
                    {"termination_message", task.termination_message},
                    {"container_name", task.container_name},
                    {"container_id", task.container_id}});
  }
  return list;
}

}  // namespace dstack::shim::client
