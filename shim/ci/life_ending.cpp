#include <format>
#include <utility>

#include "common/exit_status.h"
#include "shim/ci/life.h"

// How a life ends: a signal or a reason to leave, the runner withdrawn, its agent stopped, everything removed.
namespace dstack::shim::ci {

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
  if (!is_busy || !ending_ || ending_->reason != kIdle) return finish(is_busy);
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
  if (state_ != State::cleaning || !ending_ || !is_clean_ || !lost_.empty()) return;
  state_ = State::over;
  if (ending_->failure.empty()) {
    actions_.report_terminated(ending_->reason);
    exit_status_ = exit_status::kDone;
  } else {
    actions_.fail(ending_->failure);
    exit_status_ = exit_status::kFailed;
  }
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

}  // namespace dstack::shim::ci
