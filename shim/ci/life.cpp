#include "shim/ci/life.h"

#include <algorithm>
#include <format>
#include <utility>

#include "common/exit_status.h"

namespace dstack::shim::ci {

using namespace std::chrono_literals;

namespace {

// For an agent without a job to end: a long poll may have to come back first.
constexpr std::chrono::seconds kFinishLimit = 60s;
constexpr std::chrono::seconds kAgentKillLimit = 10s;
constexpr std::chrono::seconds kUnexpectedSpan = 60s;
constexpr std::size_t kMostUnexpectedEnds = 3;

constexpr const char* kIdle = "idle";
constexpr const char* kSingle = "single";
constexpr const char* kSignal = "signal";
constexpr const char* kReuse = "reuse";

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
  if (after_job_) return leave(*std::exchange(after_job_, std::nullopt));
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

// --- leaving

void Life::leave_after_job(Ending ending) {
  if (job_.empty()) return leave(std::move(ending));
  if (!after_job_) actions_.warn(std::format("{}; waiting for job {} to finish", ending.failure, job_));
  after_job_ = std::move(ending);
}

void Life::leave(Ending ending) {
  idle_.pause();
  ending_ = std::move(ending);
  if (refused_end_) return remove();
  state_ = State::withdrawing;
  limit_state(agent_.withdraw_limit);
  actions_.withdraw_runner();
}

void Life::withdrawn(Removal removal) {
  if (state_ != State::withdrawing) return;
  const bool is_busy = removal == Removal::busy;
  if (!is_busy || ending_->reason != kIdle) return finish(is_busy);
  ending_.reset();
  limit_state({});
  if (!job_.empty()) {
    state_ = State::working;
  } else if (agent_.one_job && had_job_) {
    expect_end_of_agent();
  } else {
    wait_for_job();
  }
}

void Life::finish(bool is_busy) {
  state_ = State::finishing;
  limit_state(job_.empty() ? std::optional(kFinishLimit) : std::nullopt);
  // An agent for one job ends by itself after that; asked to end before, it would cancel it.
  if (agent_.one_job && (is_busy || !job_.empty())) return;
  is_interrupted_ = agent_.one_job;
  actions_.finish_agent();
}

void Life::stop_now() {
  idle_.pause();
  if (refused_end_) return remove();
  state_ = State::stopping;
  killing_ = false;
  limit_state(agent_.stop_limit);
  actions_.stop_agent();
}

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
  unexpected_ends_.push_back(clock_.now());
  while (unexpected_ends_.front() + kUnexpectedSpan < clock_.now()) unexpected_ends_.pop_front();
  if (unexpected_ends_.size() >= kMostUnexpectedEnds) {
    ending_ = {.reason = "", .failure = std::format("{}, {} times within a minute", why, unexpected_ends_.size())};
    return remove();
  }
  // It may be busy for a while at the CI: the next runner does not wait for that.
  if (settings_.runner_is_given) return register_runner();
  if (agent_.one_job) return replace();
  state_ = State::renewing;
  limit_state({});
  actions_.remove_runner();
}

void Life::remove() {
  limit_state({});
  if (runner_.empty() && !may_be_listed_) return clean();
  state_ = State::removing;
  actions_.remove_runner();
}

void Life::removed(Removal removal) {
  if (removal == Removal::removed_by_own_token && (!ending_ || ending_->failure.empty())) {
    ending_ = {.reason = "",
               .failure = std::format("the token is no longer accepted: runner {} was removed by its own", runner())};
  }
  runner_.clear();
  may_be_listed_ = false;
  if (state_ == State::renewing && !ending_) return register_runner();
  clean();
}

void Life::not_removed(const std::string& message, bool token_refused) {
  std::string failure = token_refused ? std::format(
                                            "the token is no longer accepted: runner {} stays in the list until "
                                            "it is removed by hand",
                                            runner())
                                      : std::format("runner {} could not be removed: {}", runner(), message);
  if (!token_refused && ending_ && !ending_->failure.empty()) failure = ending_->failure + "; " + failure;
  ending_ = {.reason = "", .failure = std::move(failure)};
  clean();
}

void Life::clean() {
  state_ = State::cleaning;
  limit_state({});
  lost_.hurry();
  actions_.clean_up();
}

void Life::cleaned_up() {
  is_clean_ = true;
  end_if_done();
}

void Life::end_if_done() {
  if (state_ != State::cleaning || !is_clean_ || !lost_.empty()) return;
  state_ = State::over;
  if (ending_->failure.empty()) {
    actions_.report_terminated(ending_->reason);
    exit_status_ = exit_status::kDone;
  } else {
    actions_.fail(ending_->failure);
    exit_status_ = exit_status::kFailed;
  }
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

// --- from outside

void Life::signal(const std::string& name) {
  ++signals_;
  if (signals_ == 2) return hurry("a second signal, " + name);
  if (signals_ > 2) {
    actions_.kill_agent();
    const bool listed = !runner_.empty() || may_be_listed_;
    actions_.fail(listed ? std::format("killed by a third signal: runner {} is still listed, dstack-shim ci clean "
                                       "removes it",
                                       runner())
                         : "killed by a third signal");
    state_ = State::over;
    exit_status_ = exit_status::kFailed;
    return;
  }
  actions_.inform(job_.empty() ? std::format("{}: leaving", name)
                               : std::format("{}: taking no more jobs; exiting when job {} has finished", name, job_));
  Ending ending{.reason = kSignal, .failure = ""};
  if (state_ == State::preparing || state_ == State::registering) {
    ending_ = std::move(ending);
    actions_.give_up();
  } else if (is_up()) {
    leave(std::move(ending));
  } else if (!ending_) {  // between two agents
    ending_ = std::move(ending);
    restart_reason_.clear();
  }
}

void Life::hurry(const std::string& why) {
  if (std::exchange(hurried_, true)) return;
  if (!ending_) ending_ = {.reason = kSignal, .failure = ""};
  if (state_ == State::preparing || state_ == State::registering) return actions_.give_up();
  const bool has_agent =
      is_up() || state_ == State::withdrawing || state_ == State::finishing || state_ == State::replacing;
  if (!has_agent) return;
  actions_.warn(job_.empty() ? std::format("{}: exiting", why) : std::format("{}: stopping job {}", why, job_));
  stop_now();
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
