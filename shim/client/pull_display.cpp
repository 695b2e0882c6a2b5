#include "shim/client/pull_display.h"

#include <unistd.h>

#include <cstdlib>
#include <format>
#include <iostream>
#include <string_view>

#include "shim/client/text.h"

namespace dstack::shim::client {

namespace {

std::string in_megabytes(std::int64_t bytes) { return std::format("{:.1f} MB", static_cast<double>(bytes) / 1e6); }

}  // namespace

PullDisplay::PullDisplay() : width_(terminal_width(STDERR_FILENO)) {
  const char* terminal = std::getenv("TERM");
  if (terminal != nullptr && std::string_view(terminal) == "dumb") width_ = std::nullopt;
}

void PullDisplay::show(const TaskEntry& task) {
  if (task.status != last_status_) {
    finish();
    last_status_ = task.status;
    if (!width_ || task.status != "pulling") std::cerr << legible(task.status) << "\n";
  }
  if (task.status != "pulling" || !task.pull) return;
  if (width_) {
    show_bar(*task.pull);
  } else {
    show_line(*task.pull);
  }
}

void PullDisplay::show_bar(const PullView& pull) {
  constexpr std::size_t width = 30;
  const auto filled = static_cast<std::size_t>(pull.percent()) * width / 100;
  const std::string text =
      std::format("pulling [{}{}] {} of {}{}", std::string(filled, '#'), std::string(width - filled, ' '),
                  in_megabytes(pull.downloaded), pull.total_is_final ? "" : "at least ", in_megabytes(pull.total));
  // A bar that takes two lines would leave a trail.
  std::cerr << "\r" << shortened(text, *width_ - 1, Keep::beginning) << "\033[K" << std::flush;
  bar_open_ = true;
}

void PullDisplay::show_line(const PullView& pull) {
  const std::int64_t tenth = pull.percent() / 10;
  if (tenth <= last_tenth_) return;
  last_tenth_ = tenth;
  std::cerr << std::format("pulling: {} of {}{}\n", in_megabytes(pull.downloaded),
                           pull.total_is_final ? "" : "at least ", in_megabytes(pull.total));
}

void PullDisplay::finish() {
  if (bar_open_) std::cerr << "\n";
  bar_open_ = false;
}

}  // namespace dstack::shim::client
