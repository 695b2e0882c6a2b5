#include "runner/lifetime.h"

#include <poll.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "common/error.h"
#include "common/os/reaper.h"
#include "common/os/signals.h"
#include "runner/job/ending.h"

namespace dstack::runner {

namespace {

constexpr std::chrono::minutes kPatience{5};

}  // namespace

Lifetime::Lifetime(const os::UniqueFd& signals, job::Executor& executor, Logs& logs, os::Clock& clock)
    : signals_(signals),
      executor_(executor),
      logs_(logs),
      clock_(clock),
      timer_(clock.make_timer()),
      last_request_(clock.now()) {}

void Lifetime::request_seen() { last_request_ = clock_.now(); }

int Lifetime::wait() {
  while (!may_leave()) {
    if (const auto next = deadline()) {
      timer_->arm(*next);
    } else {
      timer_->disarm();
    }
    std::array<pollfd, 4> waiting{{{.fd = signals_.get(), .events = POLLIN, .revents = 0},
                                   {.fd = timer_->fd(), .events = POLLIN, .revents = 0},
                                   {.fd = over_since_ ? -1 : executor_.over_fd(), .events = POLLIN, .revents = 0},
                                   {.fd = logs_.drained_fd(), .events = POLLIN, .revents = 0}}};
    if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) throw os_error("wait for", "the job's end");
    if (waiting[0].revents != 0) take_signal();
    if (waiting[2].revents != 0) over_since_ = clock_.now();
  }
  return exit_status();
}

void Lifetime::take_signal() {
  const int signal = os::next_signal(signals_);
  if (signal == SIGCHLD) {
    if (os::reap_orphans()) executor_.children_changed();
    return;
  }
  spdlog::info("{}: stopping the job and leaving", job::describe_signal(signal));
  if (!signal_) {
    signal_ = signal;
    over_before_signal_ = executor_.over();
  }
  executor_.stop();
}

// An engine that restarts or a host that reboots must not look like a job that is done. A job that exited while the
// signal was on its way is.
int Lifetime::exit_status() const {
  if (!signal_ || over_before_signal_ || executor_.exited()) return executor_.exit_status();
  return 128 + *signal_;
}

std::optional<os::SteadyTime> Lifetime::deadline() const {
  if (over_since_) return std::max(*over_since_, logs_.last_handover().value_or(*over_since_)) + kPatience;
  if (!executor_.has_job()) return last_request_.load() + kPatience;
  return std::nullopt;
}

bool Lifetime::may_leave() {
  if (over_since_ && (signal_ || executor_.unattended())) return true;
  if (logs_.drained()) {
    spdlog::info("The job is over and its logs were read");
    return true;
  }
  const auto end = deadline();
  if (!end || clock_.now() < *end) return false;
  if (!over_since_) throw Error(ErrorKind::timed_out, "no job submitted");
  spdlog::warn("The job is over and nobody has asked for its logs for 5 minutes");
  return true;
}

}  // namespace dstack::runner
