#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "common/os/clock.h"
#include "shim/ci/agent.h"
#include "shim/ci/ci.h"
#include "shim/ci/ci_watch.h"
#include "shim/ci/idle_countdown.h"
#include "shim/ci/lost_jobs.h"
#include "shim/ci/recent_restarts.h"

namespace dstack::shim::ci {

struct LifeSettings {
  std::string name;                          // the runner's
  std::optional<std::chrono::seconds> idle;  // nothing: it never ends for want of a job
  bool single = false;
  bool runner_is_given = false;  // it was registered elsewhere, and cannot be made again
  bool rerun_lost_jobs = true;
};

// The life of a launcher from its checks to its end: what happens when, and nothing of how. It hears of what happens,
// and asks `Actions` for what is to be done; each of those begins something, returns at once, and its result comes back
// later by the function that is named there. One thread uses it.
class Life {
 public:
  class Actions {
   public:
    virtual ~Actions() = default;
    virtual void prepare() = 0;  // the checks; prepared(), found_another(), failed()
    // Another, if there is one already. With a shim, if one is missing; registered(), failed().
    virtual void register_runner() = 0;
    virtual void give_up() = 0;                      // what these two wait for; failed()
    virtual void start_agent() = 0;                  // agent_said(), agent_ended(); failed()
    virtual void withdraw_runner() = 0;              // withdrawn()
    virtual void finish_agent() = 0;                 // it ends when its job is over; agent_ended()
    virtual void stop_agent() = 0;                   // it ends now, and its job with it
    virtual void kill_agent() = 0;                   // with everything below it
    virtual void remove_runner() = 0;                // removed(), not_removed()
    virtual void look_at_runner() = 0;               // seen()
    virtual void rerun(const std::string& job) = 0;  // reran()
    virtual void clean_up() = 0;                     // containers, own shim, work folder; cleaned_up()

    virtual void report_ready() = 0;
    virtual void report_started(const std::string& job) = 0;
    virtual void report_ended(const AgentEvent& end) = 0;
    virtual void report_terminated(const std::string& reason) = 0;
    virtual void inform(const std::string& message) = 0;
    virtual void warn(const std::string& message) = 0;
    virtual void fail(const std::string& message) = 0;  // the last line of a life that has failed
  };

  Life(LifeSettings settings, Actions& actions, os::Clock& clock);

  void start() { actions_.prepare(); }

  // Results of what the actions have done.
  void prepared(const AgentManners& agent = {});
  void found_another();  // --reuse: another runner does
  void registered(const std::string& id);
  void failed(const std::string& message, bool nothing_made = false);
  void agent_said(const AgentEvent& event);
  void agent_ended(const std::string& how);
  void shim_ended(const std::string& how);
  void withdrawn(Removal removal);
  void removed(Removal removal = Removal::removed);
  void not_removed(const std::string& message, bool token_refused);
  void seen(Sight sight);
  void reran(const std::string& job, RerunResult result, const std::string& message);
  void cleaned_up();

  // From outside.
  void signal(const std::string& name);  // the first, the second, the third
  void hurry(const std::string& why);    // the machine is about to end

  // When time_passed() is to be called next; nothing: not by itself.
  std::optional<os::SteadyTime> deadline() const;
  void time_passed();

  // By a third signal: what was made stays for `ci clean`.
  bool was_killed() const { return signals_ > 2; }
  // Nothing before its end.
  std::optional<int> exit_status() const { return exit_status_; }

 private:
  enum class State {
    preparing,
    registering,
    starting,     // the agent runs, and has not said anything
    waiting,      // for a job
    working,      // at one
    withdrawing,  // on the way out: no more jobs
    finishing,    // the agent ends when its job is over
    stopping,     // the agent ends now
    replacing,    // the agent ends by itself after its one job, and another runner takes its place
    renewing,     // the runner is removed to make another
    removing,     // the runner is removed
    cleaning,
    over,
  };
  // Reasons of the line `terminated`.
  static constexpr const char* kIdle = "idle";
  static constexpr const char* kSingle = "single";
  static constexpr const char* kSignal = "signal";
  static constexpr const char* kReuse = "reuse";
  // For an agent without a job to exit: a long poll may have to come back first.
  static constexpr std::chrono::seconds kFinishLimit{60};

  struct Ending {
    std::string reason;   // of the line `terminated`
    std::string failure;  // the last line; empty: it has not failed
  };

  bool is_up() const { return state_ == State::starting || state_ == State::waiting || state_ == State::working; }
  std::string runner() const;
  // Beginning, jobs, the CI from afar, the agent's end, time: life.cpp.
  void register_runner();
  void limit_state(std::optional<std::chrono::seconds> limit);
  void enter_ready();
  void wait_for_job();
  void count_idle_time();
  void job_started(const std::string& job);
  void job_ended(const AgentEvent& event);
  void lose(const std::string& job);
  void unreachable();
  void reachable();
  void refused();
  void expect_end_of_agent();
  void replace();
  void restart(const std::string& why);
  void state_took_too_long();
  void rerun_lost_jobs();
  // Leaving: life_ending.cpp.
  void leave(Ending ending);
  void leave_after_job(Ending ending);
  void finish(bool is_busy);
  void stop_now();
  void remove();
  void clean();
  void end_if_done();

  const LifeSettings settings_;
  Actions& actions_;
  os::Clock& clock_;
  AgentManners agent_;

  State state_ = State::preparing;
  std::optional<os::SteadyTime> state_deadline_;
  std::optional<Ending> ending_;     // from the moment that it leaves
  std::optional<Ending> after_job_;  // to leave by when the running job has ended
  std::string restart_reason_;       // of a stop after which all begins anew
  std::string runner_;               // its id
  bool may_be_listed_ = false;       // the request that makes the runner was made
  bool is_ready_ = false;
  bool hurried_ = false;
  bool killing_ = false;
  int signals_ = 0;
  std::string job_;       // that runs
  bool had_job_ = false;  // this agent
  // An agent for one job was asked to end while it had none: one that has come meanwhile is cut off.
  bool is_interrupted_ = false;

  IdleCountdown idle_;
  CiWatch watch_;
  // How the agent ended that the CI refuses, until it is known whether the runner is still there.
  std::optional<std::string> refused_end_;

  RecentRestarts restarts_;
  LostJobs lost_;
  bool is_clean_ = false;
  std::optional<int> exit_status_;
};

}  // namespace dstack::shim::ci
