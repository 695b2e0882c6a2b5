#include "shim/client/pull_display.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <format>
#include <iostream>
#include <string_view>

#include "shim/client/text.h"

namespace dstack::shim::client {

namespace {

constexpr std::size_t kLongestBar = 30;
constexpr std::size_t kShortestBar = 10;
constexpr std::size_t kBesideBar = 60;  // columns
constexpr std::chrono::seconds kLinePause{5};

std::string in_megabytes(std::int64_t bytes) { return std::format("{:.1f} MB", static_cast<double>(bytes) / 1e6); }

std::string in_words(std::chrono::seconds left) {
  const auto seconds = left.count();
  if (seconds < 60) return std::format("{} s left", seconds);
  if (seconds < 3600) return std::format("{} min {} s left", seconds / 60, seconds % 60);
  return std::format("{} h {} min left", seconds / 3600, seconds / 60 % 60);
}

std::optional<std::size_t> width_of_stderr() {
  const char* terminal = std::getenv("TERM");
  if (terminal != nullptr && std::string_view(terminal) == "dumb") return std::nullopt;
  return terminal_width(STDERR_FILENO);
}

}  // namespace

PullDisplay::PullDisplay() : PullDisplay(std::cerr, width_of_stderr(), os::system_clock()) {}

PullDisplay::PullDisplay(std::ostream& out, std::optional<std::size_t> width, os::Clock& clock)
    : out_(out), width_(width), clock_(clock), rate_(clock) {}

void PullDisplay::show(const TaskEntry& task) {
  if (task.status != last_status_) {
    finish();
    last_status_ = task.status;
    if (!width_ || task.status != "pulling") out_ << legible(task.status) << "\n" << std::flush;
  }
  if (task.status != "pulling" || !task.pull || task.pull->total <= 0) return;
  const Phase phase = phase_of(*task.pull);
  if (phase.name != last_phase_) rate_ = TransferRate(clock_);
  last_phase_ = phase.name;
  rate_.add(phase.done);
  if (width_) {
    show_bar(phase);
  } else {
    show_line(phase);
  }
}

PullDisplay::Phase PullDisplay::phase_of(const PullView& pull) {
  const bool downloaded = pull.total_is_final && pull.downloaded >= pull.total;
  if (pull.activity == "waiting" && !downloaded)
    return {"waiting for other pulls", pull.downloaded, pull.total, pull.total_is_final};
  if (!downloaded || pull.extracted <= 0) return {"pulling", pull.downloaded, pull.total, pull.total_is_final};
  return {"unpacking", std::min(pull.extracted, pull.total), pull.total, true};
}

// "12.0 MB of 40.0 MB, 3.5 MB/s, 8 s left"
std::string PullDisplay::figures(const Phase& phase) const {
  std::string text = std::format("{} of {}{}", in_megabytes(phase.done), phase.total_is_final ? "" : "at least ",
                                 in_megabytes(phase.total));
  if (const auto rate = rate_.per_second()) text += std::format(", {:.1f} MB/s", *rate / 1e6);
  if (const auto left = rate_.time_left(phase.total); left && phase.done < phase.total) text += ", " + in_words(*left);
  return text;
}

void PullDisplay::show_bar(const Phase& phase) {
  const std::size_t width = width_.value_or(kLongestBar);
  const std::size_t length = std::clamp(width - std::min(width, kBesideBar), kShortestBar, kLongestBar);
  const auto parts = static_cast<std::int64_t>(length);
  const auto filled = static_cast<std::size_t>(std::clamp<std::int64_t>(phase.done * parts / phase.total, 0, parts));
  const std::string text = std::format("{} [{}{}] {}", phase.name, std::string(filled, '#'),
                                       std::string(length - filled, ' '), figures(phase));
  // A bar that takes two lines would leave a trail.
  out_ << "\r" << shortened(text, width - 1, Keep::beginning) << "\033[K" << std::flush;
  bar_open_ = true;
}

void PullDisplay::show_line(const Phase& phase) {
  if (next_line_ && clock_.now() < *next_line_) return;
  next_line_ = clock_.now() + kLinePause;
  out_ << std::format("{}: {}\n", phase.name, figures(phase)) << std::flush;
}

void PullDisplay::finish() {
  if (bar_open_) out_ << "\n" << std::flush;
  bar_open_ = false;
}

}  // namespace dstack::shim::client
