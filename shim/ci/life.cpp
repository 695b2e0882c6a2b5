#include "shim/ci/life.h"

#include <format>
#include <utility>

namespace dstack::shim::ci {

using namespace std::chrono_literals;

namespace {

constexpr std::chrono::seconds kAgentKillLimit = 10s;

void take_earlier(std::optional<os::SteadyTime>& first, std::optional<os::SteadyTime> other) {
  if (other && (!first || *other < *first)) first = other;
}

}  // namespace

Life::Life(LifeSettings settings, Actions& actions, os::Clock& clock)
    : settings_(std::move(settings)),
      actions_(actions),
      clock_(clock),
      idle_(settings_.idle, clock),
      watch_(clock),
      lost_(clock) {}

std::string Life::runner() const {
  return runner_.empty() ? settings_.name : std::format("{} ({})", settings_.name, runner_);
}

void Life::limit_state(std::optional<std::chrono::seconds> limit) {
  state_deadline_.reset();
  if (limit) state_deadline_ = clock_.now() + *limit;
}

// --- beginning

void Life::prepared(const AgentManners& agent) {
  agent_ = agent;
  if (ending_) return clean();
  register_runner();
}

void Life::register_runner() {
  state_ = State::registering;
  limit_state({});
  may_be_listed_ = true;
  actions_.register_runner();
}

void Life::found_another() {
  ending_ = {.reason = kReuse, .failure = ""};
  clean();
}

void Life::registered(const std::string& id) {
  runner_ = id;
  if (ending_) return remove();
  state_ = State::starting;
  had_job_ = false;
  is_interrupted_ = false;
  refused_end_.reset();
  watch_.begin(agent_.reports_connection);
  limit_state(agent_.start_limit);
  actions_.start_agent();
}

void Life::failed(const std::string& message, bool nothing_made) {
  if (nothing_made) may_be_listed_ = false;
  if (!ending_) ending_ = {.reason = "", .failure = message};
  if (state_ == State::preparing) return clean();
  remove();
}

void Life::enter_ready() {
  if (!std::exchange(is_ready_, true)) actions_.report_ready();
  limit_state({});
  wait_for_job();
}

// --- waiting for a job, and working

void Life::wait_for_job() {
  state_ = State::waiting;
  idle_.reset();
  count_idle_time();
}

void Life::count_idle_time() {
  if (state_ == State::waiting && watch_.is_reachable()) idle_.count();
}

void Life::agent_said(const AgentEvent& event) {
  using Kind = AgentEvent::Kind;
  switch (event.kind) {
    case Kind::nothing: break;
    case Kind::alive:
      if (state_ == State::starting) enter_ready();
      break;
    case Kind::connected: reachable(); break;
    case Kind::job_started: job_started(event.job); break;
    case Kind::job_ended: job_ended(event); break;
    case Kind::unreachable: unreachable(); break;
    case Kind::refused: refused(); break;
  }
}

void Life::job_started(const std::string& job) {
  if (state_ == State::starting) enter_ready();
  job_ = job;
  had_job_ = true;
  if (state_ == State::waiting) {
    idle_.pause();
    state_ = State::working;
  } else if (state_ == State::finishing) {
    limit_state({});
  }
  actions_.report_started(job);
}

void Life::job_ended(const AgentEvent& event) {
  actions_.report_ended(event);
  const std::string job = std::exchange(job_, "");
  if ((state_ == State::stopping || is_interrupted_) && event.lost) lose(job.empty() ? event.job : job);
  if (state_ == State::finishing) limit_state(kFinishLimit);
  if (state_ != State::working) return;
  if (auto next = std::exchange(after_job_, std::nullopt)) return leave(*std::move(next));
  if (!settings_.single && !agent_.one_job) return wait_for_job();
  expect_end_of_agent();
}

// It ends by itself after one job.
void Life::expect_end_of_agent() {
  if (settings_.single) ending_ = {.reason = kSingle, .failure = ""};
  state_ = settings_.single ? State::finishing : State::replacing;
  limit_state(kFinishLimit);
}

void Life::lose(const std::string& job) {
  if (job.empty()) return;
  if (!settings_.rerun_lost_jobs) return actions_.warn(std::format("job {} was cut off", job));
  lost_.add(job);
  rerun_lost_jobs();
}

// --- the CI from afar

void Life::unreachable() {
  if (!is_up()) return;
  if (state_ == State::starting) limit_state({});
  if (!watch_.unreachable()) return;
  actions_.warn("the CI cannot be reached");
  idle_.pause();
}

void Life::reachable() {
  if (watch_.reachable()) actions_.inform("the CI can be reached again");
  if (state_ == State::starting) return enter_ready();
  count_idle_time();
}

void Life::refused() {
  if (!is_up() || !watch_.refused()) return;
  limit_state({});
  actions_.look_at_runner();
}

void Life::seen(Sight sight) {
  using Finding = CiWatch::Finding;
  const Finding finding = watch_.take(sight);
  if (!is_up()) return;
  // A runner for one job is removed as soon as that has ended, which the agent says a moment later.
  const bool is_used_up = agent_.one_job && state_ == State::working && !refused_end_;
  switch (finding) {
    case Finding::nothing: break;
    case Finding::reachable:
      actions_.inform("the CI can be reached again");
      if (state_ == State::starting) return enter_ready();
      return count_idle_time();
    case Finding::gone:
      if (is_used_up) break;
      return leave_after_job({.reason = "", .failure = std::format("runner {} was removed at the CI", settings_.name)});
    case Finding::token_refused: return leave_after_job({.reason = "", .failure = "the token is no longer accepted"});
    case Finding::refused_although_listed:
      if (refused_end_) return restart(std::format("the agent {}", *refused_end_));
      restart_reason_ = "the CI refuses the agent";
      return stop_now();
  }
}

// --- when the agent ends

// The runner has had its one job. The next has the same name, and the CI may need a moment to forget this one.
void Life::replace() {
  if (ending_) return remove();
  register_runner();
}

void Life::agent_ended(const std::string& how) {
  if (!job_.empty()) {
    const std::string job = std::exchange(job_, "");
    actions_.report_ended(
        {.kind = AgentEvent::Kind::job_ended, .job = job, .result = "lost", .seconds = 0, .lost = true});
    lose(job);
  }
  if (state_ == State::replacing) return replace();
  if (is_up() && watch_.is_refused()) {
    idle_.pause();
    refused_end_ = how;
    return;
  }
  if (is_up() && after_job_) {
    ending_ = std::exchange(after_job_, std::nullopt);
    return remove();
  }
  if (is_up()) return restart(std::format("the agent {}", how));
  const bool leaving = state_ == State::withdrawing || state_ == State::finishing || state_ == State::stopping;
  if (!leaving) return;
  if (!ending_ && !restart_reason_.empty()) return restart(std::exchange(restart_reason_, ""));
  remove();
}

void Life::shim_ended(const std::string& how) {
  if (!is_up()) return;
  restart_reason_ = std::format("the dstack-shim of this runner {}", how);
  stop_now();
}

void Life::restart(const std::string& why) {
  actions_.warn(std::format("{}: starting again", why));
  idle_.pause();
  restarts_.add(clock_.now());
  if (restarts_.are_too_many()) {
    ending_ = {.reason = "", .failure = std::format("{}, {} times within a minute", why, restarts_.count())};
    return remove();
  }
  // It may be busy for a while at the CI: the next runner does not wait for that.
  if (settings_.runner_is_given) return register_runner();
  if (agent_.one_job) return replace();
  state_ = State::renewing;
  limit_state({});
  actions_.remove_runner();
}

// --- jobs that were cut off

void Life::rerun_lost_jobs() {
  for (const std::string& job : lost_.take_due()) actions_.rerun(job);
}

void Life::reran(const std::string& job, RerunResult result, const std::string& message) {
  if (!lost_.settle(job, result)) return;
  if (result == RerunResult::started) {
    actions_.inform(std::format("job {} was cut off and is run again", job));
  } else if (result == RerunResult::not_needed) {
    actions_.inform(std::format("job {} was cut off and need not be run again", job));
  } else {
    actions_.warn(std::format("job {} was cut off and could not be run again: {}", job, message));
  }
  end_if_done();
}

// --- time

std::optional<os::SteadyTime> Life::deadline() const {
  std::optional<os::SteadyTime> first = state_deadline_;
  take_earlier(first, idle_.end());
  if (is_up()) take_earlier(first, watch_.next_look());
  take_earlier(first, lost_.next());
  return first;
}

void Life::time_passed() {
  const os::SteadyTime now = clock_.now();
  const auto is_past = [now](std::optional<os::SteadyTime> time) { return time && *time <= now; };
  if (is_past(state_deadline_)) state_took_too_long();
  if (is_past(idle_.end())) leave({.reason = kIdle, .failure = ""});
  if (is_up() && is_past(watch_.next_look())) {
    watch_.looking();
    actions_.look_at_runner();
  }
  rerun_lost_jobs();
}

void Life::state_took_too_long() {
  limit_state({});
  switch (state_) {
    case State::starting:
      if (!agent_.reports_connection) return enter_ready();
      restart_reason_ = "the agent does not start";
      return stop_now();
    case State::withdrawing: return finish(false);
    case State::replacing: restart_reason_ = "the agent does not exit after its job"; [[fallthrough]];
    case State::finishing: actions_.warn("the agent has no job and does not exit: stopping it"); return stop_now();
    case State::stopping:
      if (!std::exchange(killing_, true)) {
        actions_.warn("the agent does not exit: killing it");
        limit_state(kAgentKillLimit);
        return actions_.kill_agent();
      }
      return agent_ended("cannot be killed");
    default: return;
  }
}

}  // namespace dstack::shim::ci
