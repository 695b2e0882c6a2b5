#include "shim/host_end/watch.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <format>
#include <utility>

#include "common/error.h"
#include "shim/host_end/moment.h"

namespace dstack::shim::host_end {

namespace {

using std::chrono::seconds;

// A shutdown is scheduled a minute ahead at least. More often would be most of what an idle shim does.
constexpr seconds kFileInterval{5};
constexpr seconds kCloudInterval{2};
// As much as AWS gives; a job has stopped after 11 s, and a server has then read its end.
constexpr std::chrono::minutes kLead{2};

}  // namespace

Watch::Watch(std::function<void(const std::string&)> goes_down, std::function<std::optional<Notice>()> find_scheduled,
             std::unique_ptr<NoticeSource> cloud, os::Clock& clock)
    : goes_down_(std::move(goes_down)),
      cloud_(std::move(cloud)),
      clock_(clock),
      scheduled_thread_(
          "look for a scheduled shutdown", kFileInterval,
          [this, find = std::move(find_scheduled)](const std::stop_token&) { take(scheduled_, find()); }, clock) {
  if (!cloud_) return;
  cloud_thread_.emplace(
      "ask for a notice of interruption", kCloudInterval, [this](const std::stop_token& stop) { ask_cloud(stop); },
      clock);
}

void Watch::ask_cloud(const std::stop_token& stop) {
  try {
    take(announced_, cloud_->ask(stop));
    if (std::exchange(cloud_fails_, false)) spdlog::info("The cloud's metadata service answers again");
  } catch (const std::exception& error) {
    if (stop.stop_requested()) return;
    if (!std::exchange(cloud_fails_, true))
      spdlog::warn("Cannot ask the cloud's metadata service for a notice of interruption: {}", error.what());
    // What it said before still holds.
    take(announced_, std::optional(announced_.notice));
  }
}

void Watch::take(Known& known, const std::optional<Notice>& notice) const {
  if (!notice) {
    if (known.notice) spdlog::info("Called off: {}", known.notice->cause);
    known = {};
    return;
  }
  if (known.notice != notice) {
    spdlog::warn("This host goes down {}: {}", describe_moment(notice->down_at), notice->cause);
    known = {.notice = notice, .message = ""};
  }
  const auto left = notice->down_at.transform([this](os::WallTime moment) { return moment - clock_.wall(); });
  if (!notice->final && left && *left > kLead) return;
  if (known.message.empty()) {
    known.message = std::format(
        "The host goes down {}: {}",
        left ? std::format("in {} s", std::max(std::chrono::ceil<seconds>(*left), seconds{0}).count()) : "soon",
        notice->cause);
    spdlog::warn("{}: stopping the running jobs", known.message);
  }
  goes_down_(known.message);
}

}  // namespace dstack::shim::host_end
