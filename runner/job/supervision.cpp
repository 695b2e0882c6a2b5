#include "runner/job/supervision.h"

#include <poll.h>
#include <unistd.h>

#include <spdlog/spdlog.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>

#include "common/error.h"
#include "common/stop_stages.h"

namespace dstack::runner::job {

namespace {

using namespace std::chrono_literals;

// For a pipe's reader that outlives its writer by a moment (`exec > >(tee log)`).
constexpr auto kStragglerGrace = 200ms;
// The end of a process that is nobody's child here is not announced, so the tree is looked at again and again.
constexpr auto kLookInterval = 20ms;

}  // namespace

Supervision::Supervision(Process& process, Terminal& terminal, Events events, os::Clock& clock,
                         std::function<std::vector<ProcessEntry>()> find_processes)
    : process_(process),
      terminal_(terminal),
      events_(events),
      clock_(clock),
      find_processes_(std::move(find_processes)),
      timer_(clock.make_timer()) {}

Ended Supervision::watch(std::optional<std::chrono::seconds> max_duration) {
  if (max_duration) max_duration_end_ = clock_.now() + *max_duration;
  bool over = false;
  while (!over) {
    step();
    if (exit_ || stage_ == Stage::killed) over = clear_away();
  }
  return {.cause = cause_, .exit = exit_.value_or(ExitStatus{})};
}

void Supervision::step() {
  std::optional<os::SteadyTime> next;
  for (const auto& deadline : {max_duration_end_, stage_end_, grace_end_, next_look_}) {
    if (deadline && (!next || *deadline < *next)) next = deadline;
  }
  if (next) {
    timer_->arm(*next);
  } else {
    timer_->disarm();
  }
  // poll passes over negative descriptors: what has been heard once is not listened to again.
  const bool may_stop = !exit_ && stage_ == Stage::running;
  const bool may_kill = !exit_ && stage_ != Stage::killed;
  std::array<pollfd, 5> waiting{{{.fd = exit_ || held_ ? -1 : process_.ended_fd(), .events = POLLIN, .revents = 0},
                                 {.fd = may_stop ? events_.stop : -1, .events = POLLIN, .revents = 0},
                                 {.fd = may_kill ? events_.log_quota : -1, .events = POLLIN, .revents = 0},
                                 {.fd = events_.children_changed, .events = POLLIN, .revents = 0},
                                 {.fd = timer_->fd(), .events = POLLIN, .revents = 0}}};
  if (::poll(waiting.data(), waiting.size(), -1) < 0) {
    if (errno == EINTR) return;
    throw os_error("wait for", "the job");
  }
  if (waiting[0].revents != 0) {
    exit_ = process_.try_wait();
    held_ = !exit_;
    if (held_) next_look_ = clock_.now() + kLookInterval;
    begin_end();
  }
  if (waiting[2].revents != 0) {
    cause_ = Ended::Cause::log_quota;
    kill();
  } else if (waiting[1].revents != 0) {
    spdlog::info("Stopping the job");
    stop(Ended::Cause::stopped);
  }
  if (waiting[3].revents != 0) {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t taken = ::read(events_.children_changed, &count, sizeof count);
  }
  on_time();
}

void Supervision::on_time() {
  const os::SteadyTime now = clock_.now();
  const auto reached = [now](std::optional<os::SteadyTime>& deadline) {
    if (!deadline || *deadline > now) return false;
    deadline.reset();
    return true;
  };
  if (reached(next_look_)) held_ = false;
  if (reached(max_duration_end_) && stage_ == Stage::running && !exit_) {
    spdlog::info("The job reached its maximum duration: stopping it");
    stop(Ended::Cause::max_duration);
  }
  if (reached(stage_end_)) {
    if (stage_ == Stage::interrupted) {
      hang_up();
    } else {
      kill();
    }
  }
  if (reached(grace_end_)) kill();
}

void Supervision::begin_end() {
  if (!give_up_at_) give_up_at_ = clock_.now() + kWholeStop;
}

void Supervision::stop(Ended::Cause cause) {
  begin_end();
  cause_ = cause;
  stage_ = Stage::interrupted;
  stage_end_ = clock_.now() + kInterruptStage.length;
  terminal_.interrupt();
}

void Supervision::hang_up() {
  spdlog::info("The job ignored SIGINT: sending SIGHUP");
  stage_ = Stage::hung_up;
  stage_end_ = clock_.now() + kHangUpStage.length;
  for (const ProcessEntry& process : find_processes_()) {
    if (process.session != process_.pid() || !process.alive()) continue;
    ::kill(process.pid, SIGHUP);
    // A stopped one hears of it only when it goes on.
    ::kill(process.pid, SIGCONT);
  }
}

void Supervision::kill() {
  begin_end();
  stage_ = Stage::killed;
  stage_end_.reset();
  grace_end_.reset();
}

bool Supervision::clear_away() {
  std::vector<ProcessEntry> left = find_processes_();
  std::erase_if(left, [](const ProcessEntry& process) { return !process.alive(); });
  if (left.empty() && exit_) return true;
  const os::SteadyTime now = clock_.now();
  next_look_ = now + kLookInterval;
  if (stage_ == Stage::killed) {
    if (give_up_at_ && now >= *give_up_at_) {
      spdlog::error("{} processes of the job are still there after SIGKILL", left.size());
      return true;
    }
    // Each look finds what was started since the last one, until there is nobody left to start anything.
    for (const ProcessEntry& process : left) ::kill(process.pid, SIGKILL);
    return false;
  }
  const bool in_stages = stage_ != Stage::running && std::ranges::any_of(left, [this](const ProcessEntry& process) {
                           return process.session == process_.pid();
                         });
  if (!in_stages && !grace_end_) grace_end_ = now + kStragglerGrace;
  return false;
}

}  // namespace dstack::runner::job
