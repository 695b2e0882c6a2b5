#include "shim/dcgm/exporter.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <format>

#include "common/error.h"
#include "common/os/command.h"
#include "common/os/file.h"
#include "shim/dcgm/counters.h"

namespace dstack::shim::dcgm {

namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kAnswerLimit = 10s;
constexpr std::size_t kSizeLimit = std::size_t{32} << 20;
constexpr std::size_t kKeptOutput = 16 << 10;
constexpr std::chrono::milliseconds kFirstPause = 1s;
constexpr std::chrono::milliseconds kLongestPause = 5min;
// One that ran as long as that has not failed to start.
constexpr std::chrono::milliseconds kSettled = 1min;
constexpr std::chrono::milliseconds kForEver = std::chrono::hours(24 * 365 * 10);

}  // namespace

Exporter::Exporter(ExporterSettings settings, os::Clock& clock)
    : settings_(std::move(settings)),
      clock_(clock),
      client_({.base_url = std::format("http://localhost:{}", settings_.port)}, clock) {
  os::write_file_atomic(settings_.counters_path, counters_file(), 0644);
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

Exporter::~Exporter() = default;

void Exporter::run(const std::stop_token& stop) {
  os::Command command{
      .arguments = settings_.command, .limit = kForEver, .output_limit = kKeptOutput, .dies_with_parent = true};
  for (const std::string& argument :
       {std::string("-f"), settings_.counters_path.string(), std::string("-a"),
        std::format("localhost:{}", settings_.port), std::string("-c"), std::to_string(settings_.interval.count())}) {
    command.arguments.push_back(argument);
  }
  std::chrono::milliseconds pause = kFirstPause;
  while (!stop.stop_requested()) {
    const os::SteadyTime start = clock_.now();
    try {
      const auto result = os::run_command(command, stop, clock_);
      if (stop.stop_requested()) return;
      spdlog::warn("dcgm-exporter {}", result.describe());
    } catch (const std::exception& error) {
      spdlog::warn("{}", error.what());
    }
    if (clock_.now() - start >= kSettled) pause = kFirstPause;
    os::pause(clock_, pause, stop);
    pause = std::min(pause * 2, kLongestPause);
  }
}

std::string Exporter::fetch() {
  const os::Lock lock(mutex_);
  if (!fetched_ || clock_.now() - fetched_at_ >= settings_.interval) {
    text_.clear();
    failure_.clear();
    try {
      text_ = ask();
    } catch (const std::exception& error) {
      failure_ = error.what();
    }
    fetched_ = true;
    fetched_at_ = clock_.now();
  }
  if (!failure_.empty()) throw Error(ErrorKind::unavailable, failure_);
  return text_;
}

std::string Exporter::ask() {
  std::string text;
  const auto response =
      client_.stream({.path = "/metrics", .total_limit = kAnswerLimit}, [&text](std::string_view piece) {
        text += piece;
        if (text.size() > kSizeLimit) throw Error(ErrorKind::unavailable, "dcgm-exporter: the answer is too large");
        return true;
      });
  if (response.status != 200) {
    throw Error(ErrorKind::unavailable, std::format("ask dcgm-exporter for its metrics: status {}", response.status));
  }
  return text;
}

}  // namespace dstack::shim::dcgm
