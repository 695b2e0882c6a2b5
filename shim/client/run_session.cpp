#include "shim/client/run_session.h"

#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <format>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>

#include "common/exit_status.h"
#include "common/os/signals.h"
#include "common/termination_reason.h"
#include "shim/client/pull_display.h"
#include "shim/client/retry.h"
#include "shim/client/task_details.h"
#include "shim/client/text.h"

namespace dstack::shim::client {

namespace {

std::string random_uuid() {
  std::random_device random;
  const std::uint32_t a = random();
  const std::uint32_t b = random();
  const std::uint32_t c = random();
  const std::uint32_t d = random();
  return std::format("{:08x}-{:04x}-4{:03x}-{:04x}-{:04x}{:08x}", a, b >> 16, b & 0xfff, 0x8000 | (c >> 18), c & 0xffff,
                     d);
}

}  // namespace

RunSession::RunSession(const RunOptions& options, const os::UniqueFd& signals)
    : options_(options),
      signals_(signals),
      shim_(options.shim_port),
      id_(random_uuid()),
      name_(options.name.empty() ? "run-" + id_.substr(0, 8) : options.name) {}

int RunSession::output_fd() const { return options_.json ? STDERR_FILENO : STDOUT_FILENO; }

void RunSession::submit(const nlohmann::json& task) {
  shim_.submit(task);
  submitted_ = true;
  std::cerr << std::format("task {} ({})\n", name_, id_);
  if (options_.gpus != "0") std::cerr << "note: GPUs used by 'run' are not visible to a dstack server\n";
}

std::optional<TaskEntry> RunSession::wait_for(const std::function<bool(const TaskEntry&)>& is_there, RunEnd& ended) {
  PullDisplay display;
  while (!interrupted()) {
    TaskEntry task = shim_.task(id_);
    display.show(task);
    if (task.ended() || is_there(task)) {
      display.finish();
      if (!task.ended()) return task;
      ended = end_of(task);
      return std::nullopt;
    }
    pause();
  }
  display.finish();
  ended = interrupted_end();
  return std::nullopt;
}

RunEnd RunSession::end_of(const TaskEntry& task) {
  const TaskDetails details = shim_.details(id_);
  const RunEnd end{.exit_status = exit_status_of(details),
                   .reason = task.termination_reason,
                   .started = details.ended_in == "running"};
  // How an image's own program ends is its own business, and what it said last was printed.
  const bool is_plain_exit = options_.is_plain() && details.exit_code && !details.out_of_memory;
  if (task.termination_reason != termination_reason::kDoneByRunner && !interrupted() && !is_plain_exit) {
    std::cerr << ending_of(task) << "\n";
  }
  return end;
}

RunEnd RunSession::wait_for_end() {
  while (!interrupted()) {
    const TaskEntry task = shim_.task(id_);
    if (task.ended()) return end_of(task);
    pause();
  }
  return interrupted_end();
}

void RunSession::pause(std::chrono::milliseconds limit) {
  pollfd waiting{.fd = signals_.get(), .events = POLLIN, .revents = 0};
  if (::poll(&waiting, 1, static_cast<int>(limit.count())) <= 0) return;
  take_signal(os::next_signal(signals_));
}

void RunSession::take_signal(int signal) {
  if (signal == SIGWINCH) return;
  signal_ = signal;
  ++interruptions_;
}

RunEnd RunSession::interrupted_end() const {
  return {.exit_status = exit_status::of_signal(signal_), .reason = std::string(termination_reason::kTerminatedByUser)};
}

void RunSession::clean_up() {
  try {
    const auto* reason = interrupted() ? termination_reason::kTerminatedByUser : termination_reason::kDoneByRunner;
    // Another Ctrl-C ends the attempts.
    const auto go_on = [this, before = interruptions_](std::chrono::milliseconds length) {
      pause(length);
      return interruptions_ == before;
    };
    const Retry retries{.pause = go_on, .note = [](std::string_view note) { std::cerr << note << "\n"; }};
    retry("terminate " + name_, [&] { shim_.terminate(id_, reason, "", std::chrono::seconds{0}); }, retries);
    // A detached one is removed by the shim.
    if (options_.remove && !options_.detach) retry("remove " + name_, [&] { shim_.remove(id_); }, retries);
  } catch (const std::exception& error) {
    std::cerr << legible(error.what()) << "\n";
  }
}

}  // namespace dstack::shim::client
