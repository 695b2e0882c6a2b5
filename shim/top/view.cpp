#include "shim/top/view.h"

#include <algorithm>
#include <cmath>
#include <format>
#include <functional>

#include "common/text/utf8.h"
#include "shim/client/age.h"
#include "shim/client/text.h"
#include "shim/top/figures.h"

namespace dstack::shim::top {

namespace {

using ftxui::Element;
using ftxui::Elements;

// Text for this terminal: without UTF-8 an ellipsis is "~" and any other character beyond ASCII "?".
std::string for_terminal(std::string_view content, const Terminal& terminal) {
  if (terminal.utf8) return std::string(content);
  std::string ascii;
  while (!content.empty()) {
    const auto character = text::first_character(content);
    if (character.character == U'…') {
      ascii += '~';
    } else {
      ascii += character.size == 1 ? content.front() : '?';
    }
    content.remove_prefix(character.size);
  }
  return ascii;
}

std::string padded(const std::string& content, std::size_t width) {
  const std::string cut = client::shortened(content, width, client::Keep::beginning);
  return cut + std::string(width - std::min(width, client::columns(cut)), ' ');
}

std::string right_aligned(const std::string& content, std::size_t width) {
  const std::string cut = client::shortened(content, width, client::Keep::beginning);
  return std::string(width - std::min(width, client::columns(cut)), ' ') + cut;
}

std::string bar(double share, std::size_t width, bool utf8) {
  const auto filled = static_cast<std::size_t>(std::lround(std::clamp(share, 0.0, 1.0) * static_cast<double>(width)));
  std::string text;
  for (std::size_t i = 0; i < width; ++i) text += i < filled ? (utf8 ? "█" : "#") : (utf8 ? "░" : ".");
  return text;
}

struct Column {
  const char* title;
  std::size_t width;
  bool right;
  std::string (*cell)(const TaskRow&, const Terminal&);
};

std::string status_cell(const TaskRow& row, const Terminal& terminal) {
  if (row.task.status != "pulling" || !row.task.pull || terminal.width < 100) return status_text(row.task);
  const auto percent = row.task.pull->percent();
  return std::format("{} {}%", bar(static_cast<double>(percent) / 100, 8, terminal.utf8), percent);
}

// The most telling first; as many as fit are shown, in this order.
std::vector<Column> columns_for(const Terminal& terminal) {
  const auto name = [](const TaskRow& row, const Terminal&) { return client::legible(row.task.name); };
  const auto image = [](const TaskRow& row, const Terminal&) { return client::legible(row.task.image); };
  const std::size_t name_width = terminal.width < 60 ? 12 : terminal.width < 120 ? 18 : 28;
  const std::size_t status_width = terminal.width < 60 ? 10 : terminal.width < 100 ? 12 : 14;
  std::vector<Column> wanted{
      {"NAME", name_width, false, name},
      {"STATUS", status_width, false, status_cell},
      {"CPU", 5, true, [](const TaskRow& row, const Terminal&) { return percent_text(row.cpu_percent); }},
      {"MEM", 5, true, [](const TaskRow& row, const Terminal&) { return bytes_text(row.memory); }},
      {"AGE", 4, true, [](const TaskRow& row, const Terminal&) { return client::age_text(row.age_seconds); }},
      {"GPU", 4, true, [](const TaskRow& row, const Terminal&) { return percent_text(row.gpu_percent); }},
      {"GPU MEM", 11, true, [](const TaskRow& row, const Terminal&) { return memory_text(row.gpu_memory); }},
      {"ID", 8, false, [](const TaskRow& row, const Terminal&) { return client::legible(row.task.id.substr(0, 8)); }},
      {"IMAGE", 12, false, image},
  };
  std::size_t used = 0;
  std::size_t count = 0;
  while (count < wanted.size() && used + wanted[count].width + 1 <= terminal.width) used += wanted[count++].width + 1;
  wanted.resize(std::max<std::size_t>(count, 1));
  // The last column takes what is left.
  wanted.back().width += terminal.width - std::min(terminal.width, used);
  return wanted;
}

std::string row_text(const std::vector<Column>& columns, const std::function<std::string(const Column&)>& cell) {
  std::string text;
  for (const Column& column : columns) {
    text += column.right ? right_aligned(cell(column), column.width) : padded(cell(column), column.width);
    text += ' ';
  }
  text.pop_back();
  return text;
}

class Painter {
 public:
  explicit Painter(const Terminal& terminal) : terminal_(terminal) {}

  Element line(const std::string& content) const { return ftxui::text(for_terminal(fit(content), terminal_)); }

  Element coloured(const std::string& content, ftxui::Color colour) const {
    return terminal_.colours ? line(content) | ftxui::color(colour) : line(content);
  }

  Element heading(const std::string& content) const { return line(content) | ftxui::bold; }
  Element marked(const std::string& content) const { return line(content) | ftxui::inverted; }

 private:
  std::string fit(const std::string& content) const { return padded(content, terminal_.width); }

  const Terminal& terminal_;
};

std::string summary(const Snapshot& snapshot, const Trends& trends, const Terminal& terminal) {
  const std::size_t width = terminal.width < 60 ? 0 : terminal.width < 120 ? 10 : 30;
  const auto trend = [&](const History& history) {
    return width == 0 ? std::string() : " " + sparkline(history, 100, width, terminal.utf8);
  };
  return std::format("CPU {}{}  MEM {}{}  DISK {}", percent_text(snapshot.cpu_percent), trend(trends.cpu),
                     memory_text(snapshot.memory), trend(trends.memory), memory_text(snapshot.disk));
}

std::string title(const Snapshot& snapshot) {
  const auto running =
      std::ranges::count_if(snapshot.tasks, [](const TaskRow& row) { return row.task.status == "running"; });
  const auto taken = std::ranges::count_if(snapshot.gpus, [](const GpuRow& gpu) { return !gpu.task_id.empty(); });
  const auto since_epoch = std::chrono::duration_cast<std::chrono::milliseconds>(snapshot.at.time_since_epoch());
  const std::string gpus = snapshot.gpus.empty() ? "" : std::format(", {}/{} GPUs taken", taken, snapshot.gpus.size());
  return std::format("{}  {}/{} tasks running{}  {}", client::legible(snapshot.host), running, snapshot.tasks.size(),
                     gpus, client::utc_text(since_epoch.count()).substr(11, 8));
}

std::string gpu_text(const GpuRow& gpu, const Snapshot& snapshot, const Terminal& terminal) {
  const auto task =
      std::ranges::find_if(snapshot.tasks, [&](const TaskRow& row) { return row.task.id == gpu.task_id; });
  const std::string holder = task == snapshot.tasks.end() ? "free" : client::legible(task->task.name);
  const std::size_t width = terminal.width < 60 ? 5 : 12;
  return std::format("{} {} {} {} {} {}", padded(client::legible(gpu.name), terminal.width < 60 ? 8 : 20),
                     bar(gpu.use_percent.value_or(0) / 100.0, width, terminal.utf8),
                     right_aligned(percent_text(gpu.use_percent), 4), right_aligned(memory_text(gpu.memory), 11),
                     right_aligned(temperature_text(gpu.temperature), 4), holder);
}

std::string keys(const ViewState& state) {
  if (!state.question.empty()) return state.question + " [y/n]";
  if (state.shows_log) return "l back  q quit";
  return "q quit  l log  s stop  sort: a age  c cpu  m memory  g gpu  n name";
}

Elements log_lines(const ViewState& state, const Painter& paint, std::size_t room) {
  Elements lines{paint.heading(state.log_title)};
  const std::size_t count = std::min(room > 0 ? room - 1 : 0, state.log.size());
  for (std::size_t i = state.log.size() - count; i < state.log.size(); ++i) lines.push_back(paint.line(state.log[i]));
  return lines;
}

Elements task_lines(const Snapshot& snapshot, const ViewState& state, const Terminal& terminal, const Painter& paint,
                    std::size_t room) {
  const auto columns = columns_for(terminal);
  Elements lines{paint.heading(row_text(columns, [](const Column& column) { return column.title; }))};
  if (room < 2) return lines;
  // The selected one is always among those that are shown.
  const std::size_t shown = std::min(room - 1, snapshot.tasks.size());
  const std::size_t first = state.selected < shown ? 0 : state.selected - shown + 1;
  for (std::size_t i = first; i < std::min(first + shown, snapshot.tasks.size()); ++i) {
    const TaskRow& row = snapshot.tasks[i];
    const std::string text = row_text(columns, [&](const Column& column) { return column.cell(row, terminal); });
    if (i == state.selected) {
      lines.push_back(paint.marked(text));
    } else if (row.task.ended()) {
      lines.push_back(paint.coloured(text, ftxui::Color::GrayDark));
    } else {
      lines.push_back(row.task.status == "running" ? paint.line(text) : paint.coloured(text, ftxui::Color::Yellow));
    }
  }
  return lines;
}

}  // namespace

void Trends::add(const Snapshot& snapshot) {
  if (snapshot.cpu_percent) cpu.add(*snapshot.cpu_percent);
  if (snapshot.memory) memory.add(100 * share(*snapshot.memory));
  int use = 0;
  int known = 0;
  for (const GpuRow& row : snapshot.gpus) {
    use += row.use_percent.value_or(0);
    known += row.use_percent ? 1 : 0;
  }
  if (known > 0) gpu.add(static_cast<double>(use) / known);
}

Element view(const Snapshot& snapshot, const Trends& trends, const ViewState& state, const Terminal& terminal) {
  const Painter paint(terminal);
  Elements lines{paint.heading(title(snapshot)), paint.line(summary(snapshot, trends, terminal))};
  if (!snapshot.problem.empty()) lines.push_back(paint.coloured(client::legible(snapshot.problem), ftxui::Color::Red));
  // A third of the screen for GPUs, with at least one line each way.
  const std::size_t gpu_room = std::max<std::size_t>(terminal.height / 3, 1);
  for (std::size_t i = 0; i < std::min(gpu_room, snapshot.gpus.size()); ++i)
    lines.push_back(paint.coloured(gpu_text(snapshot.gpus[i], snapshot, terminal), ftxui::Color::Green));
  if (snapshot.gpus.size() > gpu_room)
    lines.back() = paint.line(std::format("… {} more GPUs", snapshot.gpus.size() - gpu_room + 1));
  const std::size_t footer = state.notice.empty() ? 1 : 2;
  const std::size_t room = terminal.height - std::min(terminal.height, lines.size() + footer);
  for (auto& line :
       state.shows_log ? log_lines(state, paint, room) : task_lines(snapshot, state, terminal, paint, room))
    lines.push_back(std::move(line));
  lines.push_back(ftxui::filler());
  if (!state.notice.empty()) lines.push_back(paint.line(client::legible(state.notice)));
  lines.push_back(paint.coloured(keys(state), ftxui::Color::Cyan));
  return ftxui::vbox(std::move(lines));
}

}  // namespace dstack::shim::top
