#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/error.h"
#include "common/os/clock.h"
#include "common/os/mutex.h"
#include "shim/docker/engine_client.h"
#include "shim/docker/host_credentials.h"
#include "shim/docker/pull_log.h"
#include "shim/docker/pull_observer.h"
#include "shim/docker/pull_request.h"
#include "shim/docker/registry_mirror.h"

namespace dstack::shim::docker {

// What all pulls work with. The pointers may be null.
struct PullTools {
  EngineClient& engine;
  os::Clock& clock;
  PullLimits limits;
  std::function<void(const PullOutcome&)> on_end;
  PullObserver* observer = nullptr;
  const HostCredentials* host_credentials = nullptr;
  std::optional<RegistryMirror> mirror = {};  // tried first for images by tag that need no login
  MirrorNames* mirror_names = nullptr;        // not null if there is a mirror
};

// One pull and those who wait for it. It runs on a thread of its own, which the last of them cancels if it is not over
// by then; the destructor joins it.
//
// Two locks, so that a waiter's on_progress may take the lock under which someone else cancels that very waiter:
// callbacks run with audience_ held, cancelling needs only state_. Order: the puller's, audience_, state_.
class SharedPull {
 public:
  struct Waiter {
    std::function<void(const PullProgress&)> on_progress;
    PullLog log;
  };

  // `tools` outlives it. `is_absent` as in PullObserver::begins().
  SharedPull(const PullTools& tools, const PullRequest& request, bool is_absent);

  // Whether one that makes this request may wait for this pull.
  bool serves(const PullRequest& request) const;

  // Begins the pull for the first one. Nothing if it is over or being cancelled. Throws Error (exhausted) if no thread
  // can be made.
  std::shared_ptr<Waiter> enter(const PullRequest& request);

  // Returns when the image is there. Throws Error, as ImagePuller::ensure() does, when the pull has failed, at `stop`
  // and when nothing moved for too long.
  void wait(const std::shared_ptr<Waiter>& waiter, const std::stop_token& stop);

 private:
  // Of a pull that has not moved for too long: what is to be stopped, the attempt at the mirror or the pull.
  std::stop_source give_up() DSTACK_REQUIRES(state_);

  // Not an Error: those who wait throw one each, of their own.
  struct Failure {
    ErrorKind kind;
    std::string message;
  };

  void leave(const std::shared_ptr<Waiter>& waiter);

  // All of these on the pull's thread.
  void run(const std::stop_token& stop);
  void try_once(int attempt, const std::stop_token& stop);
  void begin_stream();
  bool came_from_mirror(const std::stop_token& stop);
  void pull_from_registry(const Credentials& credentials, const std::stop_token& stop);
  Credentials choose_credentials(const std::stop_token& stop);
  Error as_pull_error(ErrorKind answered, const std::string& message) const;
  bool is_out_of_space(const Failure& failure) const;
  bool arrived_meanwhile(const std::stop_token& stop);
  void take(std::string_view piece);
  void note_move();
  std::chrono::milliseconds pause_after(int attempt) const;
  bool rest(std::chrono::milliseconds length, const std::stop_token& stop);
  void finish(const std::optional<Failure>& failure, const std::stop_token& stop);
  void report(const std::optional<Failure>& failure, const std::stop_token& stop);

  const PullTools& tools_;
  const os::SteadyTime began_;
  const ImageReference image_;
  const bool is_absent_;
  const bool what_arrived_will_do_;  // a present image ends the attempts
  const Credentials credentials_;    // of those who wait
  std::string credentials_problem_;  // why the host's could not be used, in the last attempt
  ArrivedImage arrived_;             // as far as is known

  os::Mutex audience_;
  std::vector<std::shared_ptr<Waiter>> waiters_ DSTACK_GUARDED_BY(audience_);
  PullStream stream_ DSTACK_GUARDED_BY(audience_);
  PullTimes times_ DSTACK_GUARDED_BY(audience_);
  std::optional<PullProgress> reached_;  // by the attempts before
  bool abandoned_ DSTACK_GUARDED_BY(audience_) = false;

  os::Mutex state_;
  std::condition_variable changed_;
  os::SteadyTime last_move_ DSTACK_GUARDED_BY(state_);
  std::optional<Failure> failure_ DSTACK_GUARDED_BY(state_);
  std::optional<std::stop_source> mirror_attempt_ DSTACK_GUARDED_BY(state_);  // while the mirror is asked
  bool stalled_ DSTACK_GUARDED_BY(state_) = false;
  bool done_ DSTACK_GUARDED_BY(state_) = false;

  std::jthread thread_;  // last: it is joined before the rest goes
};

}  // namespace dstack::shim::docker
