#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "common/os/clock.h"
#include "runner/job/process.h"
#include "runner/job/process_tree.h"
#include "runner/job/terminal.h"

namespace dstack::runner::job {

// How a job that had started came to its end.
struct Ended {
  enum class Cause { by_itself, stopped, max_duration, log_quota };
  Cause cause = Cause::by_itself;
  ExitStatus exit;  // meaningful for by_itself
};

// Sees a running job to its end: passes on a stop in stages, ends it when its time is up or its log quota is used, and
// afterwards kills whatever it left behind. When watch() returns, no process of the job runs (but for one that the
// kernel does not let go of, which is logged).
//
// The stages of a stop: the terminal's interrupt character; after 5 s SIGHUP and SIGCONT to every process of the job's
// session; after 5 s more SIGKILL to everything below the runner. What is left of the session when its leader is gone
// still gets its stages; what left the session, a short while to write its last words.
//
// Everything happens on the thread that calls watch(), which is the one that started the process.
class Supervision {
 public:
  struct Events {
    int stop = -1;              // becomes and stays readable when the job is to be stopped
    int log_quota = -1;         // the same when its output is over the quota
    int children_changed = -1;  // an eventfd that counts up when the runner's adopted children end; read by watch()
  };

  Supervision(Process& process, Terminal& terminal, Events events, os::Clock& clock,
              std::function<std::vector<ProcessEntry>()> find_processes);

  Ended watch(std::optional<std::chrono::seconds> max_duration);

 private:
  enum class Stage { running, interrupted, hung_up, killed };

  // Waits for the next thing to happen and deals with it.
  void step();
  void on_time();
  void begin_end();
  void stop(Ended::Cause cause);
  void hang_up();
  void kill();
  // Looks at what is left of a job that is over, and kills it when its time has come. True when nothing is left, or
  // nothing that can be got rid of.
  bool clear_away();

  Process& process_;
  Terminal& terminal_;
  const Events events_;
  os::Clock& clock_;
  const std::function<std::vector<ProcessEntry>()> find_processes_;
  const std::unique_ptr<os::Timer> timer_;

  Ended::Cause cause_ = Ended::Cause::by_itself;
  Stage stage_ = Stage::running;
  std::optional<ExitStatus> exit_;  // of the job's first process, once it has ended
  bool held_ = false;               // it has ended, and a debugger keeps it from being reaped
  // What is waited for; each is absent while it is not.
  std::optional<os::SteadyTime> max_duration_end_;
  std::optional<os::SteadyTime> stage_end_;
  std::optional<os::SteadyTime> grace_end_;   // of the while that stragglers have
  std::optional<os::SteadyTime> next_look_;   // at the process tree
  std::optional<os::SteadyTime> give_up_at_;  // with processes that were killed; kept from the end's beginning on
};

}  // namespace dstack::runner::job
