#include "shim/client/run.h"

#include <poll.h>

#include <chrono>
#include <csignal>
#include <format>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "common/error.h"
#include "common/exit_status.h"
#include "common/os/clock.h"
#include "common/os/signals.h"
#include "common/termination_reason.h"
#include "common/text/split.h"
#include "shim/client/job_output.h"
#include "shim/client/output.h"
#include "shim/client/pull_display.h"
#include "shim/client/retry.h"
#include "shim/client/run_requests.h"
#include "shim/client/runner_api.h"
#include "shim/client/shim_api.h"
#include "shim/client/text.h"

namespace dstack::shim::client {

namespace {

constexpr std::chrono::seconds runner_start_limit{60};
constexpr int most_unanswered = 50;  // looks

std::string random_uuid() {
  std::random_device random;
  const std::uint32_t a = random();
  const std::uint32_t b = random();
  const std::uint32_t c = random();
  const std::uint32_t d = random();
  return std::format("{:08x}-{:04x}-4{:03x}-{:04x}-{:04x}{:08x}", a, b >> 16, b & 0xfff, 0x8000 | (c >> 18), c & 0xffff,
                     d);
}

// The signal that a runner's message names: "The job was killed by SIGTERM, out of memory".
int signal_in(std::string_view message) {
  for (std::string_view word : text::split_words(message)) {
    if (word.ends_with(',')) word.remove_suffix(1);
    if (const auto number = os::signal_number(word)) return *number;
  }
  return SIGKILL;
}

int exit_code_of(const JobEnd& end) {
  if (end.state == "done") return 0;
  if (!end.exit_status) return 1;
  return *end.exit_status >= 0 ? static_cast<int>(*end.exit_status) : exit_status::of_signal(signal_in(end.message));
}

// One run of the command. What a step throws ends it; the task is then cleaned up like after any other end.
class Run {
 public:
  Run(const RunOptions& options, const os::UniqueFd& signals)
      : options_(options),
        signals_(signals),
        shim_(options.shim_port),
        id_(random_uuid()),
        name_(options.name.empty() ? "run-" + id_.substr(0, 8) : options.name) {}

  int execute() {
    // What cannot be sent is found out before there is a container.
    const nlohmann::json job = job_of(options_, id_, name_);
    shim_.submit(task_of(options_, id_, name_));
    std::cerr << std::format("task {} ({})\n", name_, id_);
    if (options_.gpus != "0") std::cerr << "note: a dstack server does not know of GPUs that are taken this way\n";
    int code = 1;
    try {
      code = attend(job);
    } catch (const std::exception& error) {
      std::cerr << legible(error.what()) << "\n";
    }
    if (!(options_.detach && code == 0)) clean_up();
    return code;
  }

 private:
  int attend(const nlohmann::json& job) {
    const std::optional<int> port = wait_for_container();
    if (!port) return interrupted() ? 128 + signal_ : 1;
    RunnerApi runner(*port);
    if (!wait_for_runner(runner)) return interrupted() ? 128 + signal_ : 1;
    runner.submit(job);
    runner.run();
    if (options_.detach) {
      write_answer(id_ + "\n");
      return 0;
    }
    return follow(runner);
  }

  std::optional<int> wait_for_container() {
    PullDisplay display;
    while (!interrupted()) {
      const TaskEntry task = shim_.task(id_);
      display.show(task);
      if (task.status == "terminated") {
        display.finish();
        std::cerr << ending_of(task) << "\n";
        return std::nullopt;
      }
      if (task.status == "running") {
        display.finish();
        return runner_port();
      }
      pause();
    }
    display.finish();
    return std::nullopt;
  }

  int runner_port() {
    for (const TaskEntry& task : shim_.tasks()) {
      if (task.id == id_ && task.runner_port) return *task.runner_port;
    }
    throw Error(ErrorKind::unavailable, "the container has no port of a runner, or has ended");
  }

  bool wait_for_runner(RunnerApi& runner) {
    const os::SteadyTime deadline = os::system_clock().now() + runner_start_limit;
    while (!runner.answers()) {
      const TaskEntry task = shim_.task(id_);
      if (task.status == "terminated") {
        std::cerr << ending_of(task) << "\n";
        return false;
      }
      if (os::system_clock().now() > deadline) throw Error(ErrorKind::timed_out, "the runner does not answer");
      pause();
      if (interrupted()) return false;
    }
    return true;
  }

  int follow(RunnerApi& runner) {
    JobOutput output(shim_, id_);
    std::optional<JobEnd> end;
    bool stopped = false;
    bool heard = true;
    while (true) {
      const JobOutput::Printed printed = heard ? output.print_piece() : JobOutput::Printed::nothing;
      if (printed == JobOutput::Printed::unheard) {
        heard = false;
        std::cerr << "nobody reads the command's output any more: stopping it\n";
      }
      // What a busy job prints is fetched without a pause, and whether it has ended is asked when it falls silent.
      const bool busy = printed == JobOutput::Printed::piece;
      if (!busy && !more_to_come(runner, end)) break;
      pause(busy ? std::chrono::milliseconds{0} : kPollInterval);
      if ((interrupted() || !heard) && !stopped) {
        if (interrupted()) std::cerr << "stopping the command; once more to kill it\n";
        runner.stop();
        stopped = true;
      }
      if (interruptions_ > 1) return 128 + signal_;
    }
    if (heard && output.print_all()) output.finish();
    if (!heard) return 128 + SIGPIPE;
    if (!end) return 1;
    if (end->state == "failed" && !end->message.empty()) std::cerr << legible(end->message) << "\n";
    return end->state == "terminated" ? 128 + (interrupted() ? signal_ : SIGINT) : exit_code_of(*end);
  }

  bool more_to_come(RunnerApi& runner, std::optional<JobEnd>& end) {
    try {
      const bool more = runner.pull(end);
      unanswered_ = 0;
      return more;
    } catch (const std::exception& error) {
      // The container may have ended, or been ended, and the shim be about to hear of it.
      const TaskEntry task = shim_.task(id_);
      if (!task.ended() && ++unanswered_ < most_unanswered) return true;
      std::cerr << (task.ended() ? ending_of(task) : legible(error.what())) << "\n";
      return false;
    }
  }

  bool interrupted() const { return signal_ != 0; }

  // The next look, or the person's wish to leave.
  void pause(std::chrono::milliseconds limit = kPollInterval) {
    pollfd waiting{.fd = signals_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&waiting, 1, static_cast<int>(limit.count())) <= 0) return;
    signal_ = os::next_signal(signals_);
    ++interruptions_;
  }

  void clean_up() {
    try {
      const char* reason = interrupted() ? termination_reason::kTerminatedByUser : termination_reason::kDoneByRunner;
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

  const RunOptions& options_;
  const os::UniqueFd& signals_;
  ShimApi shim_;
  const std::string id_;
  const std::string name_;
  int signal_ = 0;      // the last one
  int unanswered_ = 0;  // by the runner, one after the other
  int interruptions_ = 0;
};

}  // namespace

int run(const RunOptions& options) {
  const os::UniqueFd signals = os::block_and_watch({SIGINT, SIGTERM});
  return Run(options, signals).execute();
}

}  // namespace dstack::shim::client
