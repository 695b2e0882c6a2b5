#include "shim/client/task_format.h"

#include <algorithm>
#include <array>
#include <format>
#include <nlohmann/json.hpp>
#include <string>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/text/split.h"
#include "common/text/trim.h"
#include "shim/client/age.h"
#include "shim/client/task_table.h"
#include "shim/client/text.h"

namespace dstack::shim::client {

namespace {

constexpr std::size_t kColumnGap = 3;  // as docker's

struct Field {
  std::string_view name;
  std::string_view heading;
  std::string (*value)(const TaskEntry& task, const os::Clock& clock);
};

std::string age_of(const TaskEntry& task, const os::Clock& clock) {
  return task.submitted_at ? age_text(seconds_since(*task.submitted_at, clock)) : "-";
}

std::string gpus_of(const TaskEntry& task, const os::Clock&) {
  std::string list;
  for (const std::string& id : task.gpu_ids) list += (list.empty() ? "" : ",") + id;
  return list;
}

constexpr std::array kFields{
    Field{"ID", "ID", [](const TaskEntry& task, const os::Clock&) { return task.id; }},
    Field{"Name", "NAME", [](const TaskEntry& task, const os::Clock&) { return task.name; }},
    Field{"Names", "NAME", [](const TaskEntry& task, const os::Clock&) { return task.name; }},
    Field{"Image", "IMAGE", [](const TaskEntry& task, const os::Clock&) { return task.image; }},
    Field{"Status", "STATUS", [](const TaskEntry& task, const os::Clock&) { return status_text(task); }},
    Field{"State", "STATE", [](const TaskEntry& task, const os::Clock&) { return task.status; }},
    Field{"Age", "AGE", &age_of},
    Field{"RunningFor", "AGE", &age_of},
    Field{"CreatedAt", "CREATED AT",
          [](const TaskEntry& task, const os::Clock&) {
            return task.submitted_at ? utc_text(*task.submitted_at) : std::string("-");
          }},
    Field{"GPUs", "GPUS", &gpus_of},
    Field{"Local", "LOCAL",
          [](const TaskEntry& task, const os::Clock&) { return std::string(task.local ? "true" : "false"); }},
    Field{"Reason", "REASON", [](const TaskEntry& task, const os::Clock&) { return task.termination_reason; }},
    Field{"Message", "MESSAGE", [](const TaskEntry& task, const os::Clock&) { return task.termination_message; }},
    Field{"Container", "CONTAINER", [](const TaskEntry& task, const os::Clock&) { return task.container_name; }},
    Field{"ContainerID", "CONTAINER ID", [](const TaskEntry& task, const os::Clock&) { return task.container_id; }}};

const Field& find_field(std::string_view name) {
  const auto found = std::ranges::find(kFields, name, &Field::name);
  if (found != kFields.end()) return *found;
  std::string names;
  for (const Field& field : kFields) names += std::format("{}.{}", names.empty() ? "" : " ", field.name);
  throw Error(ErrorKind::invalid, std::format("--format: unknown field .{}; known fields: {}", printable(name), names));
}

std::string align(const std::string& text) {
  std::vector<std::vector<std::string>> rows;
  std::vector<std::size_t> widths;
  for (const std::string_view line : text::split(std::string_view(text).substr(0, text.size() - 1), '\n')) {
    std::vector<std::string>& row = rows.emplace_back();
    for (const std::string_view cell : text::split(line, '\t')) {
      row.emplace_back(cell);
      if (widths.size() < row.size()) widths.push_back(0);
      widths[row.size() - 1] = std::max(widths[row.size() - 1], columns(cell));
    }
  }
  std::string table;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      table += row[i];
      if (i + 1 < row.size()) table.append(widths[i] + kColumnGap - columns(row[i]), ' ');
    }
    table += '\n';
  }
  return table;
}

}  // namespace

TaskFormat::TaskFormat(std::string_view format) {
  constexpr std::string_view kTable = "table ";
  if (format == "json") format = "{{json .}}";
  table_ = format.starts_with(kTable);
  if (table_) format.remove_prefix(kTable.size());
  while (!format.empty()) {
    const std::size_t open = format.find("{{");
    add_literal(format.substr(0, open));
    if (open == std::string_view::npos) break;
    const std::size_t close = format.find("}}", open);
    if (close == std::string_view::npos) throw Error(ErrorKind::invalid, "--format: {{ without }}");
    add_action(text::trim(format.substr(open + 2, close - open - 2)));
    format.remove_prefix(close + 2);
  }
}

// "\t" and "\n" as a shell's quotes leave them.
void TaskFormat::add_literal(std::string_view text) {
  std::string literal;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    if (text[i] == '\\' && (next == 't' || next == 'n')) {
      literal += next == 't' ? '\t' : '\n';
      ++i;
    } else {
      literal += text[i];
    }
  }
  headings_ += literal;
  parts_.emplace_back([literal](const TaskEntry&, const os::Clock&) { return literal; });
}

void TaskFormat::add_action(std::string_view action) {
  constexpr std::string_view kJson = "json ";
  const bool as_json = action.starts_with(kJson);
  if (as_json) action = text::trim(action.substr(kJson.size()));
  if (as_json && action == ".") {
    parts_.emplace_back([](const TaskEntry& task, const os::Clock& clock) {
      return dstack::json::dump(task_list({task}, clock).front(), -1, true);
    });
    return;
  }
  if (!action.starts_with('.')) {
    throw Error(ErrorKind::invalid,
                std::format("--format: {} is not supported; use fields, as in {{{{.ID}}}}", printable(action)));
  }
  const Field& field = find_field(action.substr(1));
  headings_ += field.heading;
  parts_.emplace_back([value = field.value, as_json](const TaskEntry& task, const os::Clock& clock) {
    const std::string text = value(task, clock);
    return as_json ? dstack::json::dump(nlohmann::json(text), -1, true) : legible(text);
  });
}

std::string TaskFormat::text(const std::vector<TaskEntry>& tasks, const os::Clock& clock) const {
  std::string text = table_ ? headings_ + "\n" : "";
  for (const TaskEntry& task : tasks) {
    for (const Part& part : parts_) text += part(task, clock);
    text += '\n';
  }
  return table_ ? align(text) : text;
}

}  // namespace dstack::shim::client
