#include "shim/ci/life.h"

#include <algorithm>
#include <format>
#include <utility>

#include "common/exit_status.h"

namespace dstack::shim::ci {

using namespace std::chrono_literals;

namespace {

// An agent that says nothing is taken for one that waits for a job.
constexpr std::chrono::seconds kAgentStartLimit = 2s;
constexpr std::chrono::seconds kWithdrawLimit = 10s;
// For an agent without a job to end: a long poll may have to come back first.
constexpr std::chrono::seconds kFinishLimit = 60s;
// All in all a job is stopped and the runner removed within 40 s.
constexpr std::chrono::seconds kAgentStopLimit = 20s;
constexpr std::chrono::seconds kAgentKillLimit = 10s;
constexpr std::chrono::seconds kLookPause = 5min;
constexpr std::chrono::seconds kFirstLookPause = 1s;
constexpr std::chrono::seconds kLongestLookPause = 60s;
// The agent reports each failed request, so it is over when it has reported none for a while.
constexpr std::chrono::seconds kQuietTime = 10s;
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

Life::Life(LifeSettings settings, Hands& hands, os::Clock& clock)
    : settings_(std::move(settings)),
      hands_(hands),
      clock_(clock),
      last_trouble_(clock.now()),
      look_pause_(kFirstLookPause),
      lost_(clock) {}

std::string Life::runner() const {
  return runner_.empty() ? settings_.name : std::format("{} ({})", settings_.name, runner_);
}

void Life::limit_state(std::optional<std::chrono::seconds> limit) {
  state_deadline_.reset();
  if (limit) state_deadline_ = clock_.now() + *limit;
}

// --- beginning

void Life::prepared() {
  if (ending_) return clean();
  state_ = State::registering;
  may_be_listed_ = true;
  hands_.register_runner();
}

void Life::found_another() {
  ending_ = {.reason = kReuse, .failure = ""};
  clean();
}

void Life::registered(const std::string& id) {
  runner_ = id;
  if (ending_) return remove();
  state_ = State::starting;
  limit_state(kAgentStartLimit);
  next_look_ = clock_.now() + kLookPause;
  hands_.start_agent();
}

void Life::failed(const std::string& message, bool nothing_made) {
  if (nothing_made) may_be_listed_ = false;
  if (!ending_) ending_ = {.reason = "", .failure = message};
  if (state_ == State::preparing) return clean();
  remove();
}

void Life::become_ready() {
  if (!std::exchange(is_ready_, true)) hands_.report_ready();
  limit_state({});
  wait_for_job();
}

// --- waiting for a job, and working

void Life::wait_for_job() {
  state_ = State::waiting;
  idle_deadline_.reset();
  idle_left_ = settings_.idle;
  count_idle_time();
}

void Life::count_idle_time() {
  if (state_ != State::waiting || !is_reachable_ || !idle_left_) return;
  idle_deadline_ = clock_.now() + *idle_left_;
  idle_left_.reset();
}

void Life::stop_counting() {
  if (!idle_deadline_) return;
  idle_left_ = std::max(*idle_deadline_ - clock_.now(), std::chrono::nanoseconds(0));
  idle_deadline_.reset();
}

void Life::agent_said(const AgentEvent& event) {
  using Kind = AgentEvent::Kind;
  switch (event.kind) {
    case Kind::alive:
      if (state_ == State::starting) become_ready();
      break;
    case Kind::job_started: job_started(event.job); break;
    case Kind::job_ended: job_ended(event); break;
    case Kind::unreachable: unreachable(); break;
    case Kind::refused:
      if (!is_up() || std::exchange(is_refused_, true)) break;
      limit_state({});
      is_looking_ = true;
      hands_.look_at_runner();
      break;
  }
}

void Life::job_started(const std::string& job) {
  if (state_ == State::starting) become_ready();
  job_ = job;
  if (state_ == State::waiting) {
    stop_counting();
    state_ = State::working;
  } else if (state_ == State::finishing) {
    limit_state({});
  }
  hands_.report_started(job);
}

void Life::job_ended(const AgentEvent& event) {
  hands_.report_ended(event);
  const std::string job = std::exchange(job_, "");
  if (state_ == State::stopping && event.lost) lose(job.empty() ? event.job : job);
  if (state_ == State::finishing) limit_state(kFinishLimit);
  if (state_ != State::working) return;
  if (after_job_) return leave(*std::exchange(after_job_, std::nullopt));
  if (!settings_.single) return wait_for_job();
  // It ends by itself after one job.
  ending_ = {.reason = kSingle, .failure = ""};
  state_ = State::finishing;
  limit_state(kFinishLimit);
}

void Life::lose(const std::string& job) {
  if (job.empty()) return;
  if (!settings_.rerun_lost_jobs) return hands_.warn(std::format("job {} was cut off", job));
  lost_.add(job);
  rerun_lost_jobs();
}

// --- the CI from afar

void Life::unreachable() {
  if (!is_up()) return;
  last_trouble_ = clock_.now();
  if (state_ == State::starting) limit_state({});
  if (!std::exchange(is_reachable_, false)) return;
  hands_.warn("the CI cannot be reached");
  stop_counting();
  look_pause_ = kFirstLookPause;
  next_look_ = clock_.now();
}

void Life::seen(Sight sight) {
  is_looking_ = false;
  const bool was_refused = std::exchange(is_refused_, false);
  if (!is_up()) return;
  if (sight == Sight::gone || (sight == Sight::unreachable && was_refused))
    return leave_after_job({.reason = "", .failure = std::format("runner {} was removed at the CI", settings_.name)});
  if (sight == Sight::token_refused)
    return leave_after_job({.reason = "", .failure = "the token is no longer accepted"});
  if (sight == Sight::unreachable) {
    next_look_ = clock_.now() + look_pause_;
    look_pause_ = std::min(look_pause_ * 2, kLongestLookPause);
    return;
  }
  // Listed.
  look_pause_ = kFirstLookPause;
  next_look_ = clock_.now() + kLookPause;
  if (was_refused) {
    anew_because_ = "the CI refuses the agent";
    return stop_now();
  }
  if (is_reachable_) return;
  if (clock_.now() < last_trouble_ + kQuietTime) {
    next_look_ = last_trouble_ + kQuietTime;
    return;
  }
  is_reachable_ = true;
  hands_.inform("the CI can be reached again");
  if (state_ == State::starting) return become_ready();
  count_idle_time();
}

// --- leaving

void Life::leave_after_job(Ending ending) {
  if (job_.empty()) return leave(std::move(ending));
  if (!after_job_) hands_.warn(std::format("{}; waiting for job {} to finish", ending.failure, job_));
  after_job_ = std::move(ending);
}

void Life::leave(Ending ending) {
  stop_counting();
  ending_ = std::move(ending);
  state_ = State::withdrawing;
  limit_state(kWithdrawLimit);
  hands_.withdraw_runner();
}

void Life::withdrawn(Removal removal) {
  if (state_ != State::withdrawing) return;
  if (removal == Removal::busy && ending_->reason == kIdle) {
    ending_.reset();
    limit_state({});
    if (job_.empty()) return wait_for_job();
    state_ = State::working;
    return;
  }
  finish();
}

void Life::finish() {
  state_ = State::finishing;
  limit_state(job_.empty() ? std::optional(kFinishLimit) : std::nullopt);
  hands_.finish_agent();
}

void Life::stop_now() {
  stop_counting();
  state_ = State::stopping;
  killing_ = false;
  limit_state(kAgentStopLimit);
  hands_.stop_agent();
}

void Life::agent_ended(const std::string& how) {
  if (!job_.empty()) {
    const std::string job = std::exchange(job_, "");
    hands_.report_ended(
        {.kind = AgentEvent::Kind::job_ended, .job = job, .result = "lost", .seconds = 0, .lost = true});
    lose(job);
  }
  if (is_up() && after_job_) {
    ending_ = std::exchange(after_job_, std::nullopt);
    return remove();
  }
  if (is_up()) return begin_anew(std::format("the agent {}", how));
  const bool leaving = state_ == State::withdrawing || state_ == State::finishing || state_ == State::stopping;
  if (!leaving) return;
  if (!ending_ && !anew_because_.empty()) return begin_anew(std::exchange(anew_because_, ""));
  remove();
}

void Life::shim_ended(const std::string& how) {
  if (!is_up()) return;
  anew_because_ = std::format("the dstack-shim of this runner {}", how);
  stop_now();
}

void Life::begin_anew(const std::string& why) {
  hands_.warn(std::format("{}: starting again", why));
  stop_counting();
  unexpected_ends_.push_back(clock_.now());
  while (unexpected_ends_.front() + kUnexpectedSpan < clock_.now()) unexpected_ends_.pop_front();
  if (unexpected_ends_.size() >= kMostUnexpectedEnds) {
    ending_ = {.reason = "", .failure = std::format("{}, {} times within a minute", why, unexpected_ends_.size())};
    return remove();
  }
  state_ = State::renewing;
  limit_state({});
  hands_.remove_runner();
}

void Life::remove() {
  limit_state({});
  if (runner_.empty() && !may_be_listed_) return clean();
  state_ = State::removing;
  hands_.remove_runner();
}

void Life::removed(Removal removal) {
  if (removal == Removal::removed_by_own_token && (!ending_ || ending_->failure.empty())) {
    ending_ = {.reason = "",
               .failure = std::format("the token is no longer accepted: runner {} was removed by its own", runner())};
  }
  runner_.clear();
  may_be_listed_ = false;
  if (state_ == State::renewing && !ending_) return prepared();
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
  hands_.clean_up();
}

void Life::cleaned_up() {
  is_clean_ = true;
  end_if_done();
}

void Life::end_if_done() {
  if (state_ != State::cleaning || !is_clean_ || !lost_.empty()) return;
  state_ = State::over;
  if (ending_->failure.empty()) {
    hands_.report_terminated(ending_->reason);
    exit_status_ = exit_status::kDone;
  } else {
    hands_.fail(ending_->failure);
    exit_status_ = exit_status::kFailed;
  }
}

// --- jobs that were cut off

void Life::rerun_lost_jobs() {
  for (const std::string& job : lost_.take_due()) hands_.rerun(job);
}

void Life::reran(const std::string& job, RerunResult result, const std::string& message) {
  if (!lost_.settle(job, result)) return;
  if (result == RerunResult::started) {
    hands_.inform(std::format("job {} was cut off and is run again", job));
  } else {
    hands_.warn(std::format("job {} was cut off and could not be run again: {}", job, message));
  }
  end_if_done();
}

// --- from outside

void Life::signal(const std::string& name) {
  ++signals_;
  if (signals_ == 2) return hurry("a second signal, " + name);
  if (signals_ > 2) {
    hands_.kill_agent();
    const bool listed = !runner_.empty() || may_be_listed_;
    hands_.fail(listed ? std::format("killed by a third signal: runner {} is still listed, dstack-shim ci clean "
                                     "removes it",
                                     runner())
                       : "killed by a third signal");
    state_ = State::over;
    exit_status_ = exit_status::kFailed;
    return;
  }
  hands_.inform(job_.empty() ? std::format("{}: leaving", name)
                             : std::format("{}: taking no more jobs; exiting when job {} has finished", name, job_));
  Ending ending{.reason = kSignal, .failure = ""};
  if (state_ == State::preparing || state_ == State::registering) {
    ending_ = std::move(ending);
    hands_.give_up();
  } else if (is_up()) {
    leave(std::move(ending));
  } else if (!ending_) {  // between two agents
    ending_ = std::move(ending);
    anew_because_.clear();
  }
}

void Life::hurry(const std::string& why) {
  if (std::exchange(hurried_, true)) return;
  if (!ending_) ending_ = {.reason = kSignal, .failure = ""};
  if (state_ == State::preparing || state_ == State::registering) return hands_.give_up();
  if (!is_up() && state_ != State::withdrawing && state_ != State::finishing) return;
  hands_.warn(job_.empty() ? std::format("{}: exiting", why) : std::format("{}: stopping job {}", why, job_));
  stop_now();
}

// --- time

std::optional<os::SteadyTime> Life::deadline() const {
  std::optional<os::SteadyTime> first = state_deadline_;
  take_earlier(first, idle_deadline_);
  if (is_up() && !is_looking_) take_earlier(first, next_look_);
  take_earlier(first, lost_.next());
  return first;
}

void Life::time_passed() {
  const os::SteadyTime now = clock_.now();
  if (state_deadline_ && *state_deadline_ <= now) state_took_too_long();
  if (idle_deadline_ && *idle_deadline_ <= now) leave({.reason = kIdle, .failure = ""});
  if (is_up() && !is_looking_ && next_look_ && *next_look_ <= now) {
    is_looking_ = true;
    hands_.look_at_runner();
  }
  rerun_lost_jobs();
}

void Life::state_took_too_long() {
  limit_state({});
  switch (state_) {
    case State::starting: return become_ready();
    case State::withdrawing: return finish();
    case State::finishing: hands_.warn("the agent has no job and does not exit: stopping it"); return stop_now();
    case State::stopping:
      if (!std::exchange(killing_, true)) {
        hands_.warn("the agent does not exit: killing it");
        limit_state(kAgentKillLimit);
        return hands_.kill_agent();
      }
      return agent_ended("cannot be killed");
    default: return;
  }
}

}  // namespace dstack::shim::ci
