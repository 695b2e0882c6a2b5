#include "shim/docker/image_pull.h"

#include <fcntl.h>
#include <unistd.h>

#include <spdlog/spdlog.h>
#include <algorithm>
#include <array>
#include <condition_variable>
#include <format>
#include <optional>
#include <thread>
#include <vector>

#include "common/error.h"
#include "common/os/file.h"
#include "common/os/thread.h"

namespace dstack::shim::docker {

namespace {

constexpr std::chrono::seconds kThreadPause{1};

bool may_pass(ErrorKind kind) { return kind == ErrorKind::unavailable || kind == ErrorKind::timed_out; }

std::string how_far(const std::optional<PullProgress>& progress) {
  if (!progress) return "nothing downloaded";
  return std::format("downloaded {} of {} bytes", progress->downloaded_bytes, progress->total_bytes);
}

// A task's pull.log.
os::UniqueFd open_log(const std::filesystem::path& path) {
  if (path.empty()) return {};
  try {
    return os::open_file(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
  } catch (const std::exception& error) {
    spdlog::warn("{}; the pull continues without it", error.what());
    return {};
  }
}

// Gives the file up at the first error, such as a full disk.
void append(os::UniqueFd& log, std::string_view data) {
  if (!log) return;
  try {
    os::write_all(log.get(), data, "pull.log");
  } catch (const std::exception& error) {
    spdlog::warn("{}; the pull continues without it", error.what());
    log.reset();
  }
}

void copy_log(const os::UniqueFd& from, os::UniqueFd& to) {
  std::array<char, 1 << 16> buffer{};
  off_t at = 0;
  while (from && to) {
    const ssize_t size = ::pread(from.get(), buffer.data(), buffer.size(), at);
    if (size <= 0) return;
    append(to, {buffer.data(), static_cast<std::size_t>(size)});
    at += size;
  }
}

}  // namespace

// One pull and those who wait for it. The thread is joined by the last of them.
//
// Two locks, so that a waiter's on_progress may take the lock under which someone else cancels that very waiter:
// callbacks run with audience_ held, cancelling needs only state_. Order: the puller's, audience_, state_.
class ImagePuller::Pull {
 public:
  struct Waiter {
    std::function<void(const PullProgress&)> on_progress;
    os::UniqueFd log;
  };

  // Not an Error: those who wait throw one each, of their own.
  struct Failure {
    ErrorKind kind;
    std::string message;
  };

  Pull(ImagePuller& puller, const PullRequest& request)
      : puller_(puller),
        began_(puller.clock_.now()),
        image_(request.image),
        what_arrived_will_do_(request.policy == PullPolicy::missing && !request.image.is_latest()),
        credentials_(request.credentials),
        last_move_(began_) {}

  bool serves(const PullRequest& request) const {
    // One that is to have the newest image does not join one that may stop at what is there.
    return image_ == request.image && credentials_ == request.credentials &&
           (request.policy == PullPolicy::missing || !what_arrived_will_do_);
  }

  // Nothing if this pull is over or being cancelled.
  std::shared_ptr<Waiter> enter(const PullRequest& request) {
    const os::Lock lock(audience_);
    if (abandoned_) return nullptr;
    {
      const os::Lock state(state_);
      if (done_) return nullptr;
    }
    auto waiter = std::make_shared<Waiter>(Waiter{request.on_progress, open_log(request.log_file)});
    for (const auto& other : waiters_) {
      if (!other->log) continue;
      copy_log(other->log, waiter->log);
      break;
    }
    if (!thread_.joinable()) {
      thread_ = os::start_thread<std::jthread>("pull an image", [this](const std::stop_token& stop) { run(stop); });
    }
    waiters_.push_back(waiter);
    if (const auto progress = stream_.progress(); progress && waiter->on_progress) waiter->on_progress(*progress);
    return waiter;
  }

  // Ends with the pull, the waiter's own stop, or the stall.
  void wait(const std::shared_ptr<Waiter>& waiter, const std::stop_token& stop) {
    {
      const std::stop_callback wake(stop, [this] {
        const os::Lock lock(state_);
        changed_.notify_all();
      });
      os::Lock lock(state_);
      const auto over = [&]() DSTACK_REQUIRES(state_) { return done_ || stop.stop_requested(); };
      while (!over()) {
        const os::SteadyTime deadline = last_move_ + puller_.limits_.stall;
        if (stalled_) {
          changed_.wait(lock.native(), over);
        } else if (!puller_.clock_.wait_until(lock.native(), changed_, deadline, over) &&
                   puller_.clock_.now() >= last_move_ + puller_.limits_.stall) {
          stalled_ = true;
          lock.unlock();
          thread_.request_stop();
          lock.lock();
        }
      }
    }
    leave(waiter);
    if (stop.stop_requested()) throw Error(ErrorKind::cancelled, std::format("pull {}: cancelled", image_.name()));
    const os::Lock lock(state_);
    if (failure_) throw Error(failure_->kind, failure_->message);
  }

 private:
  void leave(const std::shared_ptr<Waiter>& waiter) {
    {
      const os::Lock lock(audience_);
      std::erase(waiters_, waiter);
      if (!waiters_.empty()) return;
      abandoned_ = true;
    }
    thread_.request_stop();
  }

  void run(const std::stop_token& stop) {
    std::optional<Failure> failure;
    if (puller_.observer_ != nullptr) puller_.observer_->begins(image_);
    bool made_room = false;
    for (int attempt = 1;; ++attempt) {
      failure.reset();
      try {
        try_once(attempt, stop);
        if (puller_.observer_ != nullptr) puller_.observer_->arrived(image_);
        break;
      } catch (const Error& error) {
        failure = {error.kind(), error.what()};
      } catch (const std::exception& error) {
        failure = {ErrorKind::internal, error.what()};
      }
      if (!stop.stop_requested() && !made_room && is_out_of_space(*failure)) {
        made_room = true;
        if (puller_.observer_->make_room(image_)) continue;
      }
      if (stop.stop_requested() || attempt >= puller_.limits_.attempts || !may_pass(failure->kind)) break;
      const auto pause = pause_after(attempt);
      spdlog::warn("{}; attempt {} of {} in {} ms", failure->message, attempt + 1, puller_.limits_.attempts,
                   pause.count());
      if (!rest(pause, stop)) break;
    }
    if (failure && puller_.observer_ != nullptr) puller_.observer_->failed(image_);
    finish(failure, stop);
  }

  bool is_out_of_space(const Failure& failure) const {
    return puller_.observer_ != nullptr && pull_failure(image_, failure.kind, failure.message) == PullFailure::no_space;
  }

  void try_once(int attempt, const std::stop_token& stop) {
    {
      const os::Lock lock(audience_);
      if (const auto progress = stream_.progress()) reached_ = progress;
      stream_ = PullStream();
    }
    note_move();
    if (attempt > 1 && what_arrived_will_do_ && arrived_meanwhile(stop)) return;
    try {
      puller_.engine_.pull(image_, credentials_, [this](std::string_view piece) { take(piece); }, {.stop = stop});
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
    if (podman_done && puller_.engine_.is_podman({.stop = stop}) &&
        puller_.engine_.image_present(image_, {.stop = stop})) {
      return;
    }
    throw Error(ErrorKind::unavailable,
                std::format("pull {}: Docker's stream ended before the pull was complete", image_.name()));
  }

  Error as_pull_error(ErrorKind answered, const std::string& message) const {
    return {error_kind(pull_failure(image_, answered, message)), message};
  }

  // The engine may have gone on by itself after the connection broke. If it cannot be asked, the pull will say why.
  bool arrived_meanwhile(const std::stop_token& stop) {
    try {
      return puller_.engine_.image_present(image_, {.stop = stop});
    } catch (const std::exception&) {
      return false;
    }
  }

  void take(std::string_view piece) {
    const os::Lock lock(audience_);
    for (const auto& waiter : waiters_) append(waiter->log, piece);
    const std::optional<PullProgress> before = stream_.progress();
    if (!stream_.take(piece)) return;
    note_move();
    const std::optional<PullProgress> progress = stream_.progress();
    if (!progress || progress == before) return;
    if (progress->is_total_bytes_final && !(before && before->is_total_bytes_final) && puller_.observer_ != nullptr)
      puller_.observer_->size_known(progress->total_bytes -
                                    std::min(progress->total_bytes, progress->downloaded_bytes));
    for (const auto& waiter : waiters_) {
      if (waiter->on_progress) waiter->on_progress(*progress);
    }
  }

  void note_move() {
    const os::Lock lock(state_);
    last_move_ = puller_.clock_.now();
  }

  std::chrono::milliseconds pause_after(int attempt) const {
    std::chrono::milliseconds pause = puller_.limits_.first_pause;
    for (int i = 1; i < attempt; ++i) pause *= 5;
    return pause;
  }

  bool rest(std::chrono::milliseconds length, const std::stop_token& stop) {
    const std::stop_callback wake(stop, [this] {
      const os::Lock lock(state_);
      changed_.notify_all();
    });
    os::Lock lock(state_);
    return !puller_.clock_.wait_until(lock.native(), changed_, puller_.clock_.now() + length,
                                      [&stop] { return stop.stop_requested(); });
  }

  void finish(const std::optional<Failure>& failure, const std::stop_token& stop) {
    std::optional<PullProgress> progress;
    {
      const os::Lock lock(audience_);
      progress = stream_.progress();
      if (!progress) progress = reached_;
    }
    report(failure, stop);
    const os::Lock lock(state_);
    if (failure && stalled_) {
      const auto minutes = std::chrono::duration_cast<std::chrono::minutes>(puller_.limits_.stall);
      failure_ = {ErrorKind::timed_out, std::format("pull {}: no progress for {} minutes ({})", image_.name(),
                                                    minutes.count(), how_far(progress))};
    } else if (failure) {
      failure_ = {failure->kind, std::format("{} ({})", failure->message, how_far(progress))};
    }
    done_ = true;
    changed_.notify_all();
  }

  void report(const std::optional<Failure>& failure, const std::stop_token& stop) {
    if (!puller_.on_end_) return;
    bool stalled = false;
    {
      const os::Lock lock(state_);
      stalled = stalled_;
    }
    // Cancelled by those who waited.
    if (failure && !stalled && stop.stop_requested()) return;
    PullOutcome outcome{.took = puller_.clock_.now() - began_};
    if (failure)
      outcome.failure = stalled ? PullFailure::stalled : pull_failure(image_, failure->kind, failure->message);
    puller_.on_end_(outcome);
  }

  ImagePuller& puller_;
  const os::SteadyTime began_;
  const ImageReference image_;
  const bool what_arrived_will_do_;  // a present image ends the attempts
  const Credentials credentials_;

  os::Mutex audience_;
  std::vector<std::shared_ptr<Waiter>> waiters_ DSTACK_GUARDED_BY(audience_);
  PullStream stream_ DSTACK_GUARDED_BY(audience_);
  std::optional<PullProgress> reached_;  // by the attempts before
  bool abandoned_ DSTACK_GUARDED_BY(audience_) = false;

  os::Mutex state_;
  std::condition_variable changed_;
  os::SteadyTime last_move_ DSTACK_GUARDED_BY(state_);
  std::optional<Failure> failure_ DSTACK_GUARDED_BY(state_);
  bool stalled_ DSTACK_GUARDED_BY(state_) = false;
  bool done_ DSTACK_GUARDED_BY(state_) = false;

  std::jthread thread_;  // last: it is joined before the rest goes
};

ImagePuller::ImagePuller(EngineClient& engine, os::Clock& clock, PullLimits limits,
                         std::function<void(const PullOutcome&)> on_end, PullObserver* observer)
    : engine_(engine), clock_(clock), limits_(limits), on_end_(std::move(on_end)), observer_(observer) {}

ImagePuller::~ImagePuller() = default;

struct ImagePuller::Joined {
  std::shared_ptr<Pull> pull;
  std::shared_ptr<Pull::Waiter> waiter;
};

ImagePuller::Joined ImagePuller::join(const PullRequest& request) {
  const os::Lock lock(mutex_);
  std::erase_if(pulls_, [](const std::weak_ptr<Pull>& known) { return known.expired(); });
  for (const std::weak_ptr<Pull>& known : pulls_) {
    const std::shared_ptr<Pull> pull = known.lock();
    if (!pull || !pull->serves(request)) continue;
    if (auto waiter = pull->enter(request)) return {.pull = pull, .waiter = std::move(waiter)};
  }
  const auto pull = std::make_shared<Pull>(*this, request);
  auto waiter = pull->enter(request);
  pulls_.push_back(pull);
  return {.pull = pull, .waiter = std::move(waiter)};
}

ImagePuller::Joined ImagePuller::join_when_possible(const PullRequest& request, const std::stop_token& stop) {
  const os::SteadyTime deadline = clock_.now() + limits_.stall;
  for (int attempt = 1;; ++attempt) {
    try {
      return join(request);
    } catch (const std::exception& error) {
      if (dstack::error_kind(error) != ErrorKind::exhausted || clock_.now() >= deadline) throw;
      spdlog::log(attempt == 1 ? spdlog::level::err : spdlog::level::debug, "{}; trying again every second",
                  error.what());
    }
    if (!os::pause(clock_, kThreadPause, stop))
      throw Error(ErrorKind::cancelled, std::format("pull {}: cancelled", request.image.name()));
  }
}

bool ImagePuller::ensure(const PullRequest& request, std::stop_token stop) {
  const bool look_first = request.policy == PullPolicy::missing && !request.image.is_latest();
  if (request.policy == PullPolicy::never || look_first) {
    if (is_present(request, stop)) {
      if (observer_ != nullptr) observer_->used(request.image);
      return false;
    }
    if (request.policy == PullPolicy::never) {
      throw Error(ErrorKind::not_found,
                  std::format("image {} is not present, and pulling it is not allowed", request.image.name()));
    }
  }
  try {
    pull(request, stop);
    return true;
  } catch (const std::exception& error) {
    if (request.policy != PullPolicy::newer || dstack::error_kind(error) == ErrorKind::cancelled) throw;
    if (!is_present(request, stop)) throw;
    spdlog::warn("{}; using the image that is present", error.what());
    return false;
  }
}

bool ImagePuller::is_present(const PullRequest& request, const std::stop_token& stop) {
  try {
    return engine_.image_present(request.image, {.stop = stop});
  } catch (const Error& error) {
    // A pull will meet the same trouble, and has patience.
    if (!may_pass(error.kind()) || request.policy == PullPolicy::never) throw;
    return false;
  }
}

void ImagePuller::pull(const PullRequest& request, const std::stop_token& stop) {
  const Joined joined = join_when_possible(request, stop);
  joined.pull->wait(joined.waiter, stop);
}

}  // namespace dstack::shim::docker
