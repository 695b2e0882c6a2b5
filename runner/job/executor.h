#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/os/clock.h"
#include "common/os/event.h"
#include "common/os/mutex.h"
#include "common/os/unique_fd.h"
#include "common/os/user_db.h"
#include "runner/files/uploads.h"
#include "runner/job/job_run.h"
#include "runner/job/submission.h"
#include "runner/logs/logs.h"

namespace dstack::runner::job {

// What /api/run answers.
struct JobInfo {
  std::string working_dir;
  std::string username;
};

// The runner's one job, from its submission to its end. A request that does not fit its phase throws Error (conflict)
// with the reason. All members may be called from any thread; the job itself runs on one of this object's own.
class Executor {
 public:
  enum class Phase { waiting_for_job, submitted, running, over };

  // `logs` outlives this object. `temp_dir` gets runner.log.
  Executor(std::filesystem::path temp_dir, RunPlaces places, Logs& logs, os::Clock& clock = os::system_clock(),
           os::UserDatabase users = os::UserDatabase());
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;
  // Stops the job, with its stages, and waits for its end, and for what was given up.
  ~Executor();

  // Allowed again until the job runs; the last one counts.
  void submit(Submission submission);
  void check_submit_allowed() const;
  // Throws unless a job is there and does not run yet.
  void check_upload_allowed() const;
  // Files for the job, on their way. Throw the same, and for an id that is no name.
  files::Uploads::Incoming receive_archive(const std::string& id);
  files::Uploads::Incoming receive_code();
  // The file is whole. The same; an upload that comes too late is dropped.
  void keep(files::Uploads::Incoming upload);
  // Starts the job. Nothing if its user or working folder could not be worked out: then it has failed already.
  std::optional<JobInfo> run();
  // Interrupts the job; before it runs, ends it for good. Nothing happens to one that is over.
  void stop();
  // The same because the host goes down, which the job's end then says with `message`, unless it was stopped before.
  // How far the job was.
  Phase interrupt(const std::string& message);

  // A line for the runner log. One that comes before the job is in it as well.
  void notice(const std::string& message);

  // To be called after the runner has reaped orphans.
  void children_changed();

  bool has_job() const;  // one has been submitted
  bool over() const;     // no job runs or will run any more
  bool exited() const;   // its process ran and exited of its own accord, with any status
  // What the runner is to exit with in place of 0, once the job is over.
  int exit_status() const;
  bool unattended() const;                       // nobody will ask for the job's logs
  bool hangs() const { return setup_.hangs(); }  // something of the job's was given up and has not ended
  int over_fd() const { return over_.fd(); }     // becomes and stays readable when it is over

 private:
  class RunnerLog;

  void expect_submitted(std::string_view request) const DSTACK_REQUIRES(mutex_);
  void expect_submittable() const DSTACK_REQUIRES(mutex_);
  void stop_locked() DSTACK_REQUIRES(mutex_);
  // What a job that was stopped ends with.
  JobState stopped_end() const DSTACK_REQUIRES(mutex_);
  void finish(const JobState& end);

  const std::filesystem::path temp_dir_;
  const RunPlaces places_;
  Logs& logs_;
  os::Clock& clock_;
  const os::UserDatabase users_;
  files::Uploads uploads_;
  const os::Event stop_;
  const os::Event children_changed_;
  const os::Event over_;

  mutable os::Mutex mutex_;
  Phase phase_ DSTACK_GUARDED_BY(mutex_) = Phase::waiting_for_job;
  Submission submission_ DSTACK_GUARDED_BY(mutex_);  // not changed any more once the job runs
  Prepared prepared_ DSTACK_GUARDED_BY(mutex_);      // the same
  bool exited_ DSTACK_GUARDED_BY(mutex_) = false;
  std::vector<std::string> early_notices_ DSTACK_GUARDED_BY(mutex_);
  bool stop_asked_ DSTACK_GUARDED_BY(mutex_) = false;
  std::optional<std::string> interruption_ DSTACK_GUARDED_BY(mutex_);  // why the host goes down
  JobState end_ DSTACK_GUARDED_BY(mutex_);
  std::unique_ptr<RunnerLog> runner_log_ DSTACK_GUARDED_BY(mutex_);
  std::thread thread_;
  SetupThread setup_;  // the last: it uses the others
};

}  // namespace dstack::runner::job
