#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "common/os/clock.h"
#include "common/os/path_watch.h"
#include "common/os/repeating_thread.h"
#include "shim/host_end/cloud.h"
#include "shim/host_end/notice.h"

namespace dstack::shim::host_end {

// Looks for notices that this host goes down. One that is final counts at once, another two minutes before its moment.
class Watch {
 public:
  // `goes_down` is called with a sentence for people when a notice counts, and again every few seconds until it is
  // called off, on a thread of this object; it must not throw or block. `find_scheduled` looks at systemd's file, when
  // `schedule` says that it may have changed, or every few seconds without that. `cloud` is null outside of clouds.
  Watch(std::function<void(const std::string& message)> goes_down,
        std::function<std::optional<Notice>()> find_scheduled, std::optional<os::PathWatch> schedule,
        std::unique_ptr<NoticeSource> cloud, os::Clock& clock = os::system_clock());

 private:
  struct Known {
    std::optional<Notice> notice;
    std::string message;  // since it counts
  };

  void follow_schedule(const std::stop_token& stop);
  // False once it is to stop.
  bool await_schedule(const std::stop_token& stop);
  void ask_cloud(const std::stop_token& stop);
  void take(Known& known, const std::optional<Notice>& notice) const;

  const std::function<void(const std::string&)> goes_down_;
  const std::function<std::optional<Notice>()> find_scheduled_;
  std::optional<os::PathWatch> schedule_;  // on the thread of scheduled_
  const std::unique_ptr<NoticeSource> cloud_;
  os::Clock& clock_;
  Known scheduled_;           // on its thread
  Known announced_;           // by the cloud, on its thread
  bool cloud_fails_ = false;  // the same
  // Apart, so that a metadata service that hangs holds nothing up. Last: they use the others.
  std::jthread scheduled_thread_;
  std::optional<os::RepeatingThread> cloud_thread_;
};

}  // namespace dstack::shim::host_end
