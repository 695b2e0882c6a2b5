#include <csignal>
#include <format>
#include <iostream>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/exit_status.h"
#include "common/os/clock.h"
#include "common/os/signals.h"
#include "common/termination_reason.h"
#include "common/text/split.h"
#include "shim/client/job_output.h"
#include "shim/client/output.h"
#include "shim/client/run_requests.h"
#include "shim/client/run_session.h"
#include "shim/client/runner_api.h"
#include "shim/client/task_details.h"
#include "shim/client/text.h"

namespace dstack::shim::client {

namespace {

constexpr std::chrono::seconds kRunnerStartLimit{60};
constexpr std::chrono::seconds kRunnerExitLimit{2};
// For a job whose exit status is known only by that of the runner.
constexpr std::chrono::seconds kRunnerStatusLimit{30};
constexpr int kMostUnanswered = 50;  // looks

// The signal that a runner's message names: "The job was killed by SIGTERM, out of memory".
int signal_in(std::string_view message) {
  for (std::string_view word : text::split_words(message)) {
    if (word.ends_with(',')) word.remove_suffix(1);
    if (const auto number = os::signal_number(word)) return *number;
  }
  return SIGKILL;
}

int exit_status_of(const JobEnd& end) {
  if (end.state == "done") return exit_status::kDone;
  if (!end.exit_status) return exit_status::kNotRun;
  return *end.exit_status >= 0 ? static_cast<int>(*end.exit_status) : exit_status::of_signal(signal_in(end.message));
}

// Whether the runner's own exit status says more: 126 or 127 for a command that could not be run, as a shell's.
bool has_no_status(const JobEnd& end) { return end.state == "failed" && !end.exit_status; }

// A job on its way, from its runner's first answer on.
class JobRun {
 public:
  JobRun(RunSession& session, int port) : session_(session), runner_(port) {}

  RunEnd execute(const nlohmann::json& job) {
    if (!wait_for_runner()) return end_;
    runner_.submit(job);
    runner_.run();
    if (session_.options().detach) return {.goes_on = true};
    return follow();
  }

 private:
  // False, with the end, if there will be no answer.
  bool wait_for_runner() {
    const os::SteadyTime deadline = os::system_clock().now() + kRunnerStartLimit;
    while (!runner_.answers()) {
      const TaskEntry task = session_.shim().task(session_.id());
      if (task.ended()) {
        end_ = session_.end_of(task);
        // It ended by itself before it had a job, whatever it says.
        if (end_.exit_status == exit_status::kDone) end_.exit_status = exit_status::kNotRun;
        return false;
      }
      if (os::system_clock().now() > deadline) throw Error(ErrorKind::timed_out, "the runner does not answer");
      session_.pause();
      if (session_.interrupted()) {
        end_ = session_.interrupted_end();
        return false;
      }
    }
    return true;
  }

  RunEnd follow() {
    JobOutput output(session_.shim(), session_.id(), JobOutput::Bytes::of_a_terminal, session_.output_fd());
    bool stopped = false;
    bool read = true;
    while (true) {
      const JobOutput::Printed printed = read ? output.print_piece() : JobOutput::Printed::nothing;
      if (printed == JobOutput::Printed::unread) {
        read = false;
        std::cerr << "the command's output is not read any more: stopping it\n";
      }
      // What a busy job prints is fetched without a pause, and whether it has ended is asked when it falls silent.
      const bool busy = printed == JobOutput::Printed::piece;
      if (!busy && !more_to_come()) break;
      session_.pause(busy ? std::chrono::milliseconds{0} : kPollInterval);
      if ((session_.interrupted() || !read) && !stopped) {
        if (session_.interrupted()) std::cerr << "stopping the command; press Ctrl-C again to kill it now\n";
        runner_.stop();
        stopped = true;
      }
      if (session_.interruptions() > 1) return session_.interrupted_end();
    }
    if (read && output.print_all()) output.finish();
    return end(read);
  }

  // The runner exits with the job's exit status, which `wait` tells of: it is given the time to.
  void await_container_exit(const JobEnd& end) {
    const os::SteadyTime deadline =
        os::system_clock().now() + (has_no_status(end) ? kRunnerStatusLimit : kRunnerExitLimit);
    while (os::system_clock().now() < deadline && !session_.shim().task(session_.id()).ended()) session_.pause();
  }

  RunEnd end(bool read) {
    if (job_end_) await_container_exit(*job_end_);
    if (!read) return {.exit_status = exit_status::of_signal(SIGPIPE), .reason = job_end_ ? job_end_->reason : ""};
    if (!job_end_) return end_;
    const bool explains =
        job_end_->state == "failed" || job_end_->reason == termination_reason::kInterruptedByNoCapacity;
    if (explains && !job_end_->message.empty()) std::cerr << legible(job_end_->message) << "\n";
    if (job_end_->state != "terminated") return {.exit_status = status_of(*job_end_), .reason = job_end_->reason};
    if (session_.interrupted()) return session_.interrupted_end();
    return {.exit_status = exit_status::of_signal(SIGINT), .reason = job_end_->reason};
  }

  int status_of(const JobEnd& end) {
    const auto runners = has_no_status(end) ? session_.shim().details(session_.id()).exit_code : std::nullopt;
    return runners ? *runners : exit_status_of(end);
  }

  bool more_to_come() {
    try {
      const bool more = runner_.pull(job_end_);
      unanswered_ = 0;
      return more;
    } catch (const std::exception& error) {
      // The container may have ended, or been ended, and the shim be about to hear of it.
      const TaskEntry task = session_.shim().task(session_.id());
      if (!task.ended() && ++unanswered_ < kMostUnanswered) return true;
      if (task.ended()) {
        end_ = session_.end_of(task);
      } else {
        std::cerr << legible(error.what()) << "\n";
        end_ = {.exit_status = exit_status::kNotRun};
      }
      return false;
    }
  }

  RunSession& session_;
  RunnerApi runner_;
  RunEnd end_;  // where the job's own is not known
  std::optional<JobEnd> job_end_;
  int unanswered_ = 0;  // by the runner, one after the other
};

int runner_port(RunSession& session) {
  for (const TaskEntry& task : session.shim().tasks()) {
    if (task.id == session.id() && task.runner_port) return *task.runner_port;
  }
  throw Error(ErrorKind::unavailable, "the container has no runner port, or has ended");
}

}  // namespace

RunEnd run_job(RunSession& session, const nlohmann::json& job) {
  session.submit(task_of(session.options(), session.id(), session.name()));
  RunEnd ended;
  const auto is_running = [](const TaskEntry& task) { return task.status == "running"; };
  if (!session.wait_for(is_running, ended)) return ended;
  return JobRun(session, runner_port(session)).execute(job);
}

}  // namespace dstack::shim::client
