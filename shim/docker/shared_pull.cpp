#include "shim/docker/shared_pull.h"

#include <spdlog/spdlog.h>
#include <algorithm>
#include <format>

#include "common/os/thread.h"

namespace dstack::shim::docker {

namespace {

std::string how_far(const std::optional<PullProgress>& progress) {
  if (!progress) return "nothing downloaded";
  return std::format("downloaded {} of {} bytes", progress->downloaded_bytes, progress->total_bytes);
}

}  // namespace

SharedPull::SharedPull(const PullTools& tools, const PullRequest& request, bool is_absent)
    : tools_(tools),
      began_(tools.clock.now()),
      image_(request.image),
      is_absent_(is_absent),
      what_arrived_will_do_(request.policy == PullPolicy::missing && !request.image.is_latest()),
      credentials_(request.credentials),
      times_(began_),
      last_move_(began_) {}

bool SharedPull::serves(const PullRequest& request) const {
  // One that is to have the newest image does not join one that may stop at what is there.
  return image_ == request.image && credentials_ == request.credentials &&
         (request.policy == PullPolicy::missing || !what_arrived_will_do_);
}

std::shared_ptr<SharedPull::Waiter> SharedPull::enter(const PullRequest& request) {
  const os::Lock lock(audience_);
  if (abandoned_) return nullptr;
  {
    const os::Lock state(state_);
    if (done_) return nullptr;
  }
  auto waiter = std::make_shared<Waiter>(Waiter{request.on_progress, PullLog(request.log_file)});
  for (const auto& other : waiters_) {
    if (!other->log.is_open()) continue;
    waiter->log.append_all_of(other->log);
    break;
  }
  if (!thread_.joinable()) {
    thread_ = os::start_thread<std::jthread>("pull an image", [this](const std::stop_token& stop) { run(stop); });
  }
  waiters_.push_back(waiter);
  if (const auto progress = stream_.progress(); progress && waiter->on_progress) waiter->on_progress(*progress);
  return waiter;
}

void SharedPull::wait(const std::shared_ptr<Waiter>& waiter, const std::stop_token& stop) {
  {
    const std::stop_callback wake(stop, [this] {
      const os::Lock lock(state_);
      changed_.notify_all();
    });
    os::Lock lock(state_);
    const auto over = [&]() DSTACK_REQUIRES(state_) { return done_ || stop.stop_requested(); };
    while (!over()) {
      const bool at_mirror = mirror_attempt_.has_value();
      const auto patience = at_mirror ? tools_.limits.mirror_stall : tools_.limits.stall;
      const auto turned = [&]() DSTACK_REQUIRES(state_) { return over() || mirror_attempt_.has_value() != at_mirror; };
      if (stalled_) {
        changed_.wait(lock.native(), over);
      } else if (!tools_.clock.wait_until(lock.native(), changed_, last_move_ + patience, turned) &&
                 tools_.clock.now() >= last_move_ + patience) {
        std::stop_source given_up = give_up();
        // What hears of a stop takes locks of its own.
        lock.unlock();
        given_up.request_stop();
        lock.lock();
      }
    }
  }
  leave(waiter);
  if (stop.stop_requested()) throw Error(ErrorKind::cancelled, std::format("pull {}: cancelled", image_.name()));
  const os::Lock lock(state_);
  if (failure_) throw Error(failure_->kind, failure_->message);
}

std::stop_source SharedPull::give_up() {
  std::optional<std::stop_source> mirror_attempt;
  mirror_attempt.swap(mirror_attempt_);
  if (!mirror_attempt) {
    stalled_ = true;
    return thread_.get_stop_source();
  }
  // The pull goes on at the image's own registry.
  last_move_ = tools_.clock.now();
  return *mirror_attempt;
}

void SharedPull::leave(const std::shared_ptr<Waiter>& waiter) {
  {
    const os::Lock lock(audience_);
    std::erase(waiters_, waiter);
    if (!waiters_.empty()) return;
    abandoned_ = true;
  }
  thread_.request_stop();
}

void SharedPull::run(const std::stop_token& stop) {
  std::optional<Failure> failure;
  if (tools_.observer != nullptr) tools_.observer->begins(image_, is_absent_);
  bool made_room = false;
  for (int attempt = 1;; ++attempt) {
    failure.reset();
    try {
      try_once(attempt, stop);
      if (tools_.observer != nullptr) tools_.observer->arrived(image_, arrived_);
      break;
    } catch (const Error& error) {
      failure = {error.kind(), error.what()};
    } catch (const std::exception& error) {
      failure = {ErrorKind::internal, error.what()};
    }
    if (!stop.stop_requested() && !made_room && is_out_of_space(*failure)) {
      made_room = true;
      if (tools_.observer->make_room(image_)) continue;
    }
    if (stop.stop_requested() || attempt >= tools_.limits.attempts || !may_pass(failure->kind)) break;
    const auto pause = pause_after(attempt);
    spdlog::warn("{}; attempt {} of {} in {} ms", failure->message, attempt + 1, tools_.limits.attempts, pause.count());
    if (!rest(pause, stop)) break;
  }
  if (failure && tools_.observer != nullptr) tools_.observer->failed(image_);
  finish(failure, stop);
}

bool SharedPull::is_out_of_space(const Failure& failure) const {
  return tools_.observer != nullptr && pull_failure(image_, failure.kind, failure.message) == PullFailure::no_space;
}

void SharedPull::try_once(int attempt, const std::stop_token& stop) {
  begin_stream();
  if (attempt > 1 && what_arrived_will_do_ && arrived_meanwhile(stop)) return;
  const Credentials credentials = choose_credentials(stop);
  const bool may_be_mirrored = image_.digest.empty() && credentials.empty();
  if (attempt == 1 && may_be_mirrored && came_from_mirror(stop)) return;
  pull_from_registry(credentials, stop);
}

void SharedPull::begin_stream() {
  {
    const os::Lock lock(audience_);
    if (const auto progress = stream_.progress()) reached_ = progress;
    stream_ = PullStream();
    times_.change(PullActivity::other, tools_.clock.now());
  }
  note_move();
}

bool SharedPull::came_from_mirror(const std::stop_token& stop) {
  if (!tools_.mirror) return false;
  std::stop_source attempt;
  const std::stop_callback on_stop(stop, [&attempt] { attempt.request_stop(); });
  const auto set_attempt = [this](std::optional<std::stop_source> source) {
    const os::Lock lock(state_);
    mirror_attempt_ = std::move(source);
    last_move_ = tools_.clock.now();
    changed_.notify_all();
  };
  set_attempt(attempt);
  std::string problem;
  try {
    arrived_.digest = pull_from_mirror(
        tools_.engine, *tools_.mirror, *tools_.mirror_names, image_, [this](std::string_view piece) { take(piece); },
        attempt.get_token());
  } catch (const std::exception& error) {
    problem = attempt.stop_requested()
                  ? std::format("nothing moved for {} s",
                                std::chrono::duration_cast<std::chrono::seconds>(tools_.limits.mirror_stall).count())
                  : error.what();
  }
  set_attempt(std::nullopt);
  if (stop.stop_requested()) throw Error(ErrorKind::cancelled, std::format("pull {}: cancelled", image_.name()));
  if (problem.empty()) {
    spdlog::info("Pulled {} from the mirror {}", image_.name(), tools_.mirror->name);
    return true;
  }
  spdlog::warn("Pulling {} from its own registry, since the mirror {} failed: {}", image_.name(), tools_.mirror->name,
               problem);
  begin_stream();
  arrived_.had_layers = false;  // those were the mirror's
  return false;
}

void SharedPull::pull_from_registry(const Credentials& credentials, const std::stop_token& stop) {
  try {
    tools_.engine.pull(image_, credentials, [this](std::string_view piece) { take(piece); }, {.stop = stop});
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::cancelled || error.kind() == ErrorKind::timed_out) throw;
    throw as_pull_error(error.kind(), error.what());
  }
  std::string error;
  bool podman_done = false;
  {
    const os::Lock lock(audience_);
    if (stream_.completed()) return;
    error = stream_.error();
    podman_done = stream_.may_be_completed_by_podman();
  }
  if (!error.empty()) throw as_pull_error(ErrorKind::internal, std::format("pull {}: {}", image_.name(), error));
  if (podman_done && tools_.engine.is_podman({.stop = stop}) && tools_.engine.image_present(image_, {.stop = stop})) {
    return;
  }
  throw Error(ErrorKind::unavailable,
              std::format("pull {}: Docker's stream ended before the pull was complete", image_.name()));
}

// Those of the task, else the host's if it has any.
Credentials SharedPull::choose_credentials(const std::stop_token& stop) {
  credentials_problem_.clear();
  if (!credentials_.empty() || tools_.host_credentials == nullptr) return credentials_;
  const HostCredentials::Found found = tools_.host_credentials->find(image_, stop);
  credentials_problem_ = found.problem;
  if (!found.problem.empty()) spdlog::warn("Pulling {} without a login: {}", image_.name(), found.problem);
  if (!found.credentials) return credentials_;
  spdlog::info("Pulling {} with the host's login to {}", image_.name(), image_.server_address());
  note_move();
  return *found.credentials;
}

Error SharedPull::as_pull_error(ErrorKind answered, const std::string& message) const {
  const PullFailure failure = pull_failure(image_, answered, message);
  // Some registries call an image unknown that they only hide.
  const bool may_want_login = failure == PullFailure::refused || failure == PullFailure::not_found;
  if (credentials_problem_.empty() || !may_want_login) return {error_kind(failure), message};
  return {error_kind(failure),
          std::format("{}; the host's login could not be used: {}", message, credentials_problem_)};
}

// The engine may have gone on by itself after the connection broke. If it cannot be asked, the pull will say why.
bool SharedPull::arrived_meanwhile(const std::stop_token& stop) {
  try {
    return tools_.engine.image_present(image_, {.stop = stop});
  } catch (const std::exception&) {
    return false;
  }
}

void SharedPull::take(std::string_view piece) {
  const os::Lock lock(audience_);
  for (const auto& waiter : waiters_) waiter->log.append(piece);
  const std::optional<PullProgress> before = stream_.progress();
  if (!stream_.take(piece)) return;
  note_move();
  times_.change(stream_.activity(), tools_.clock.now());
  const std::optional<PullProgress> progress = stream_.progress();
  arrived_.had_layers |= progress.has_value();
  if (!progress || (progress == before && progress->activity == before->activity)) return;
  if (progress->is_total_bytes_final && !(before && before->is_total_bytes_final) && tools_.observer != nullptr)
    tools_.observer->size_known(progress->total_bytes - std::min(progress->total_bytes, progress->downloaded_bytes));
  for (const auto& waiter : waiters_) {
    if (waiter->on_progress) waiter->on_progress(*progress);
  }
}

void SharedPull::note_move() {
  const os::Lock lock(state_);
  last_move_ = tools_.clock.now();
}

std::chrono::milliseconds SharedPull::pause_after(int attempt) const {
  std::chrono::milliseconds pause = tools_.limits.first_pause;
  for (int i = 1; i < attempt; ++i) pause *= 5;
  return pause;
}

bool SharedPull::rest(std::chrono::milliseconds length, const std::stop_token& stop) {
  const std::stop_callback wake(stop, [this] {
    const os::Lock lock(state_);
    changed_.notify_all();
  });
  os::Lock lock(state_);
  return !tools_.clock.wait_until(lock.native(), changed_, tools_.clock.now() + length,
                                  [&stop] { return stop.stop_requested(); });
}

void SharedPull::finish(const std::optional<Failure>& failure, const std::stop_token& stop) {
  std::optional<PullProgress> progress;
  {
    const os::Lock lock(audience_);
    progress = stream_.progress();
    if (!progress) progress = reached_;
    times_.change(PullActivity::other, tools_.clock.now());
    if (!failure) spdlog::info("Pulled {}: {}", image_.name(), in_words(times_));
  }
  report(failure, stop);
  const os::Lock lock(state_);
  if (failure && stalled_) {
    const auto minutes = std::chrono::duration_cast<std::chrono::minutes>(tools_.limits.stall);
    failure_ = {ErrorKind::timed_out, std::format("pull {}: no progress for {} minutes ({})", image_.name(),
                                                  minutes.count(), how_far(progress))};
  } else if (failure) {
    failure_ = {failure->kind, std::format("{} ({})", failure->message, how_far(progress))};
  }
  done_ = true;
  changed_.notify_all();
}

void SharedPull::report(const std::optional<Failure>& failure, const std::stop_token& stop) {
  if (!tools_.on_end) return;
  bool stalled = false;
  {
    const os::Lock lock(state_);
    stalled = stalled_;
  }
  // Cancelled by those who waited.
  if (failure && !stalled && stop.stop_requested()) return;
  PullOutcome outcome{.took = tools_.clock.now() - began_};
  {
    const os::Lock lock(audience_);
    outcome.times = times_;
  }
  if (failure) outcome.failure = stalled ? PullFailure::stalled : pull_failure(image_, failure->kind, failure->message);
  tools_.on_end(outcome);
}

}  // namespace dstack::shim::docker
