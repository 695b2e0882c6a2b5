#include "runner/job/executor.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <format>
#include <utility>

#include "common/error.h"
#include "common/exit_status.h"
#include "common/log/log.h"
#include "common/os/thread.h"
#include "common/reason.h"
#include "common/termination_reason.h"
#include "common/text/escape.h"
#include "runner/job/ending.h"

namespace dstack::runner::job {

namespace {

constexpr std::size_t kMaxEarlyNotices = 16;

}  // namespace

// While it lives, the runner's own log goes to runner.log and to the readers of /api/pull too.
class Executor::RunnerLog {
 public:
  RunnerLog(const std::filesystem::path& temp_dir, Logs& logs)
      : sinks_{log::rotating_file(temp_dir / "runner.log"), logs.runner_log_sink()} {
    for (const auto& sink : sinks_) log::add_sink(sink);
  }
  RunnerLog(const RunnerLog&) = delete;
  RunnerLog& operator=(const RunnerLog&) = delete;
  ~RunnerLog() {
    for (const auto& sink : sinks_) log::remove_sink(sink);
  }

 private:
  const std::array<spdlog::sink_ptr, 2> sinks_;
};

Executor::Executor(std::filesystem::path temp_dir, RunPlaces places, Logs& logs, os::Clock& clock,
                   os::UserDatabase users)
    : temp_dir_(std::move(temp_dir)),
      places_(std::move(places)),
      logs_(logs),
      clock_(clock),
      users_(std::move(users)),
      uploads_(temp_dir_ / "uploads") {}

Executor::~Executor() {
  stop_.set();
  if (thread_.joinable()) thread_.join();
}

void Executor::expect_submitted(std::string_view request) const {
  switch (phase_) {
    case Phase::waiting_for_job:
      throw Error(ErrorKind::conflict, std::format("{}: no job has been submitted", request));
    case Phase::running: throw Error(ErrorKind::conflict, std::format("{}: the job runs already", request));
    case Phase::over: throw Error(ErrorKind::conflict, std::format("{}: the job is over", request));
    case Phase::submitted: break;
  }
}

void Executor::expect_submittable() const {
  if (phase_ != Phase::waiting_for_job) expect_submitted("submit");
}

void Executor::check_submit_allowed() const {
  const os::Lock lock(mutex_);
  expect_submittable();
}

void Executor::submit(Submission submission) {
  const os::Lock lock(mutex_);
  expect_submittable();
  if (!runner_log_) runner_log_ = std::make_unique<RunnerLog>(temp_dir_, logs_);
  for (const std::string& line : std::exchange(early_notices_, {})) spdlog::warn("{}", line);
  logs_.set_quota(static_cast<std::uint64_t>(std::max<std::int64_t>(submission.log_quota_hour, 0)));
  spdlog::info("Job {} of run {} is submitted", printable(submission.job_id), printable(submission.run_name));
  submission_ = std::move(submission);
  phase_ = Phase::submitted;
}

void Executor::check_upload_allowed() const {
  const os::Lock lock(mutex_);
  expect_submitted("upload");
}

files::Uploads::Incoming Executor::receive_archive(const std::string& id) {
  const os::Lock lock(mutex_);
  expect_submitted("upload");
  return uploads_.receive_archive(id);
}

files::Uploads::Incoming Executor::receive_code() {
  const os::Lock lock(mutex_);
  expect_submitted("upload");
  return uploads_.receive_code();
}

void Executor::keep(files::Uploads::Incoming upload) {
  const os::Lock lock(mutex_);
  expect_submitted("upload");
  upload.keep();
}

std::optional<JobInfo> Executor::run() {
  const os::Lock lock(mutex_);
  expect_submitted("run");
  try {
    Prepared prepared = prepare_run(submission_, users_);
    JobInfo info{.working_dir = prepared.working_dir, .username = prepared.user.name};
    prepared_ = std::move(prepared);
    // It waits for the lock that is held here before it reports the end.
    thread_ = os::start_thread("run the job", [this, submission = &submission_, prepared_run = &prepared_] {
      const Supervision::Events events{
          .stop = stop_.fd(), .log_quota = logs_.quota_exceeded_fd(), .children_changed = children_changed_.fd()};
      JobState end = run_job(*submission, *prepared_run, places_, events, uploads_, setup_, logs_, clock_);
      {
        // Before it is reported: the runner may leave as soon as that was read.
        const os::Lock end_lock(mutex_);
        if (end == stopped_state()) end = stopped_end();
        end_ = end;
      }
      try {
        finish(end);
      } catch (const std::exception& error) {
        spdlog::error("Cannot record the job's end: {}", error.what());
      }
      const os::Lock thread_lock(mutex_);
      phase_ = Phase::over;
      // A signal's end is -1; one that was stopped has none.
      exited_ = end.exit_status.value_or(-1) >= 0;
      over_.set();
    });
    phase_ = Phase::running;
    return info;
  } catch (const std::exception& error) {
    // The job waits for the next attempt.
    if (error_kind(error) == ErrorKind::exhausted) throw;
    end_ = executor_error(reason_of(error));
    finish(end_);
    phase_ = Phase::over;
    over_.set();
    return std::nullopt;
  }
}

void Executor::stop() {
  const os::Lock lock(mutex_);
  stop_locked();
}

Executor::Phase Executor::interrupt(const std::string& message) {
  const os::Lock lock(mutex_);
  const Phase phase = phase_;
  if (phase == Phase::over) return phase;
  spdlog::warn("{}", text::escape_controls(message));
  if (!stop_asked_) interruption_ = message;
  stop_locked();
  return phase;
}

JobState Executor::stopped_end() const { return interruption_ ? interrupted_state(*interruption_) : stopped_state(); }

void Executor::notice(const std::string& message) {
  const os::Lock lock(mutex_);
  const std::string line = text::escape_controls(message);
  spdlog::warn("{}", line);
  if (!runner_log_ && early_notices_.size() < kMaxEarlyNotices) early_notices_.push_back(line);
}

void Executor::stop_locked() {
  stop_asked_ = true;
  if (phase_ == Phase::running) {
    stop_.set();
  } else if (phase_ != Phase::over) {
    end_ = stopped_end();
    finish(end_);
    phase_ = Phase::over;
    over_.set();
  }
}

void Executor::finish(const JobState& end) {
  if (end.termination_reason.empty()) {
    spdlog::info("The job is over: {}", end.state);
  } else {
    spdlog::info("The job is over: {}, {}: {}", end.state, end.termination_reason, end.termination_message);
  }
  logs_.finish(end);
}

void Executor::children_changed() { children_changed_.set(); }

bool Executor::has_job() const {
  const os::Lock lock(mutex_);
  return phase_ != Phase::waiting_for_job;
}

int Executor::exit_status() const {
  const os::Lock lock(mutex_);
  if (submission_.exit_with_job) return exit_status_of(end_);
  // A host that goes down must not look like a job that is done.
  if (end_.termination_reason == termination_reason::kInterruptedByNoCapacity) return exit_status::of_signal(SIGTERM);
  return exit_status::kDone;
}

bool Executor::unattended() const {
  const os::Lock lock(mutex_);
  return submission_.unattended;
}

bool Executor::exited() const {
  const os::Lock lock(mutex_);
  return exited_;
}

bool Executor::over() const {
  const os::Lock lock(mutex_);
  return phase_ == Phase::over;
}

}  // namespace dstack::runner::job
