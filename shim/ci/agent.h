#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "common/os/child.h"
#include "shim/ci/ci.h"
#include "shim/ci/container_flags.h"
#include "shim/ci/kept_program.h"

namespace dstack::shim::ci {

class WorkFolder;

// Something that an agent has said.
struct AgentEvent {
  enum class Kind {
    nothing,
    alive,        // it runs
    connected,    // it runs, and reaches the CI
    job_started,  // `job`
    job_ended,    // all of the fields
    unreachable,  // it cannot reach the CI
    refused,      // the CI does not know the runner
  };
  Kind kind = Kind::alive;
  // The launcher's own name of the job, also for people: GitLab's id, or "train (runner 1005)".
  std::string job = {};
  std::string result = {};
  double seconds = 0;
  bool lost = false;  // it was cut off; its own script has not failed
};

// How the agent of a CI behaves.
struct AgentManners {
  // It has one job and ends; asked to end while it has that, it would cancel it. Otherwise it takes job after job, and
  // finishes the one that it has.
  bool one_job = false;
  // It says when it has reached the CI, at first and again. Otherwise one that says nothing waits for a job.
  bool reports_connection = false;
  std::chrono::seconds start_limit{2};      // for it to reach the CI, or to say something
  std::chrono::seconds withdraw_limit{10};  // for the request that lets no more jobs come
  std::chrono::seconds stop_limit{20};      // for it to end after it was stopped; then it is killed
  std::chrono::seconds describe_limit{5};   // for the CI's ids of a job to be known; then it is reported without
};

// The CI's own agent, which a launcher runs once for each runner that it registers. One thread at a time uses it, but
// for what job_finder() returns.
class Agent {
 public:
  virtual ~Agent() = default;

  virtual AgentManners manners() const = 0;

  // Looks for the program, or fetches it: for the first time before anything is registered. Throws Error.
  virtual void find(const Patience& patience) = 0;
  // What a launcher that cannot ask the CI itself needs to fetch the program, as JSON; empty: nothing. Throws Error.
  virtual std::string offer(const Patience&) { return {}; }
  // Before each registration: makes what the next agent needs in the work folder. What the last one left is removed;
  // problems with that are logged. `containers` are the launcher's flags. Throws Error.
  virtual void prepare(WorkFolder& folder, const ContainerFlags& containers, const Patience& patience) = 0;
  // How the agent of this runner is run.
  virtual KeptProgramSpec program(const Registration& runner) = 0;

  virtual AgentEvent parse(const std::string& line) = 0;
  // What an operator should see of a line; nothing for what has an event.
  virtual std::optional<std::string> warning_in(const std::string& line) = 0;
  // Finds the CI's ids of a job that parse() has named; nothing while they are not known. From any thread, as long as
  // the work folder is there.
  virtual std::function<std::optional<CiJob>()> job_finder(const std::string& job) = 0;
  // Takes how it ended, for the next prepare(), and says it.
  virtual std::string take_end(const os::ExitStatus& status) = 0;

  // To end once its job is over, or now if it has none; to end at once.
  virtual int finish_signal() const = 0;
  virtual int stop_signal() const = 0;
};

}  // namespace dstack::shim::ci
