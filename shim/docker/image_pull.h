#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <stop_token>

#include "common/os/clock.h"
#include "common/os/mutex.h"
#include "shim/docker/engine_client.h"
#include "shim/docker/image_reference.h"
#include "shim/docker/pull_failure.h"
#include "shim/docker/pull_observer.h"
#include "shim/docker/pull_progress.h"

namespace dstack::shim::docker {

// When an image is pulled: `missing` if it is not there or its tag is latest; `newer` always, but what is there will
// do if it cannot be had.
enum class PullPolicy { missing, always, never, newer };

struct PullRequest {
  ImageReference image;
  PullPolicy policy = PullPolicy::missing;
  Credentials credentials;
  // Gets the engine's raw progress stream (0600, replaced). A log that cannot be written is logged in the shim log and
  // does not fail the pull. It must lie where no container can write.
  std::filesystem::path log_file;
  // Called with every change of the numbers, on the pull's thread or the caller's: it must be quick and must not call
  // the puller. It may take a lock under which someone requests a stop. Never called after ensure() has returned.
  std::function<void(const PullProgress&)> on_progress;
};

struct PullLimits {
  int attempts = 4;                             // the first and three more
  std::chrono::milliseconds first_pause{1000};  // before the second attempt; five times as long each time
  std::chrono::milliseconds stall = std::chrono::minutes{20};
};

struct PullOutcome {
  std::chrono::nanoseconds took{0};  // with all attempts
  std::optional<PullFailure> failure;
};

// Makes images present. One pull serves all who wait for the same image with the same credentials at the same time; it
// runs on a thread of its own and is cancelled when the last of them has gone.
class ImagePuller {
 public:
  // `on_end` hears of every pull that succeeded or failed, once for all who waited and before they know; not of one
  // that was cancelled. It is called on the pull's thread. The observer outlives this object.
  ImagePuller(EngineClient& engine, os::Clock& clock = os::system_clock(), PullLimits limits = {},
              std::function<void(const PullOutcome&)> on_end = {}, PullObserver* observer = nullptr);
  ImagePuller(const ImagePuller&) = delete;
  ImagePuller& operator=(const ImagePuller&) = delete;
  // Everyone must have returned from ensure().
  ~ImagePuller();

  // Pulls by the request's policy; returns whether it pulled. Blocks, on any thread. Throws Error:
  //   cancelled    `stop`; at once, the others that wait go on
  //   timed_out    nothing moved for `limits.stall`
  //   not_found, invalid   the registry knows no such image, or refuses the credentials: not tried again; or the policy
  //                        is `never` and the image is not there
  //   unavailable  anything else, after all attempts
  // The message is "pull <image>: <the engine's own message> (downloaded X of Y bytes)".
  bool ensure(const PullRequest& request, std::stop_token stop);

 private:
  class Pull;
  struct Joined;

  Joined join(const PullRequest& request);
  // Again every second while no thread can be made.
  Joined join_when_possible(const PullRequest& request, const std::stop_token& stop);

  bool is_present(const PullRequest& request, const std::stop_token& stop);
  void pull(const PullRequest& request, const std::stop_token& stop);

  EngineClient& engine_;
  os::Clock& clock_;
  const PullLimits limits_;
  const std::function<void(const PullOutcome&)> on_end_;
  PullObserver* const observer_;
  os::Mutex mutex_;
  std::list<std::weak_ptr<Pull>> pulls_ DSTACK_GUARDED_BY(mutex_);
};

}  // namespace dstack::shim::docker
