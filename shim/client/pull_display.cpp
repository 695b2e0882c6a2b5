#include "shim/client/pull_display.h"

#include <unistd.h>

#include <algorithm>
#include <format>
#include <iostream>

namespace dstack::shim::client {

namespace {

std::string in_megabytes(std::int64_t bytes) { return std::format("{:.1f} MB", static_cast<double>(bytes) / 1e6); }

// Of 100; nothing is known of the rest before every layer's size is.
std::int64_t percent(const TaskView& task) {
  return task.total > 0 ? std::clamp<std::int64_t>(task.downloaded * 100 / task.total, 0, 100) : 0;
}

}  // namespace

PullDisplay::PullDisplay() : terminal_(::isatty(STDERR_FILENO) == 1) {}

void PullDisplay::show(const TaskView& task) {
  if (task.status != last_status_) {
    finish();
    last_status_ = task.status;
    if (!terminal_ || task.status != "pulling") std::cerr << task.status << "\n";
  }
  if (task.status != "pulling" || !task.pulling_known) return;
  if (terminal_) {
    show_bar(task);
  } else {
    show_line(task);
  }
}

void PullDisplay::show_bar(const TaskView& task) {
  constexpr std::size_t width = 30;
  const auto filled = static_cast<std::size_t>(percent(task)) * width / 100;
  std::cerr << std::format("\rpulling [{}{}] {} of {}{}\033[K", std::string(filled, '#'),
                           std::string(width - filled, ' '), in_megabytes(task.downloaded),
                           task.total_is_final ? "" : "at least ", in_megabytes(task.total))
            << std::flush;
  bar_open_ = true;
}

void PullDisplay::show_line(const TaskView& task) {
  const std::int64_t tenth = percent(task) / 10;
  if (tenth <= last_tenth_) return;
  last_tenth_ = tenth;
  std::cerr << std::format("pulling: {} of {}{}\n", in_megabytes(task.downloaded),
                           task.total_is_final ? "" : "at least ", in_megabytes(task.total));
}

void PullDisplay::finish() {
  if (bar_open_) std::cerr << "\n";
  bar_open_ = false;
}

}  // namespace dstack::shim::client
