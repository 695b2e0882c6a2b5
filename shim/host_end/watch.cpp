#include "shim/host_end/watch.h"

#include <poll.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <format>
#include <utility>

#include "common/error.h"
#include "common/os/thread.h"
#include "common/os/wait.h"
#include "shim/host_end/moment.h"

namespace dstack::shim::host_end {

namespace {

using std::chrono::seconds;

// Of looks at a schedule whose changes cannot be noticed, and of reports of a notice. A shutdown is scheduled a minute
// ahead at least.
constexpr seconds kScheduleInterval{5};
constexpr seconds kCloudInterval{2};
// As much as AWS gives; a job has stopped after 11 s, and a server has then read its end.
constexpr std::chrono::minutes kLead{2};

}  // namespace

Watch::Watch(std::function<void(const std::string&)> goes_down, std::function<std::optional<Notice>()> find_scheduled,
             std::optional<os::PathWatch> schedule, std::unique_ptr<NoticeSource> cloud, os::Clock& clock)
    : goes_down_(std::move(goes_down)),
      find_scheduled_(std::move(find_scheduled)),
      schedule_(std::move(schedule)),
      cloud_(std::move(cloud)),
      clock_(clock),
      scheduled_thread_(os::start_thread<std::jthread>(
          "look for a scheduled shutdown", [this](const std::stop_token& stop) { follow_schedule(stop); })) {
  if (!cloud_) return;
  cloud_thread_.emplace(
      "ask for a notice of interruption", kCloudInterval, [this](const std::stop_token& stop) { ask_cloud(stop); },
      clock);
}

void Watch::follow_schedule(const std::stop_token& stop) {
  do {
    if (schedule_) schedule_->arm();
    take(scheduled_, find_scheduled_());
  } while (await_schedule(stop));
}

bool Watch::await_schedule(const std::stop_token& stop) {
  std::array<pollfd, 1> changed{{{.fd = schedule_ ? schedule_->fd() : -1, .events = POLLIN, .revents = 0}}};
  // An idle host's shim sleeps until there is something to do.
  const bool is_noticed = changed[0].fd >= 0 && !scheduled_.notice;
  const auto deadline = is_noticed ? std::nullopt : std::optional(clock_.now() + kScheduleInterval);
  try {
    return os::Wait(clock_, stop, deadline).until_ready(changed, "a scheduled shutdown") != os::Wait::Outcome::stopped;
  } catch (const std::exception& error) {
    spdlog::warn("{}", error.what());
    return os::pause(clock_, kScheduleInterval, stop);
  }
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
