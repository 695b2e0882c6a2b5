#pragma once

#include <list>
#include <memory>
#include <optional>
#include <stop_token>

#include "common/os/clock.h"
#include "common/os/mutex.h"
#include "shim/docker/engine_client.h"
#include "shim/docker/pull_request.h"
#include "shim/docker/shared_pull.h"

namespace dstack::shim::docker {

// Makes images present. One pull serves all who wait for the same image with the same credentials at the same time; it
// runs on a thread of its own and is cancelled when the last of them has gone.
class ImagePuller {
 public:
  // `tools.on_end` hears of every pull that succeeded or failed, once for all who waited and before they know; not of
  // one that was cancelled. It is called on the pull's thread. What `tools` refers to outlives this object.
  explicit ImagePuller(PullTools tools);
  explicit ImagePuller(EngineClient& engine, os::Clock& clock = os::system_clock());
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
  bool ensure(const PullRequest& request, const std::stop_token& stop);

  // Removes the names that interrupted pulls from a mirror have left. Does not throw.
  void sweep(const std::stop_token& stop);

 private:
  struct Joined;

  // `is_absent` as in PullObserver::begins().
  Joined join(const PullRequest& request, bool is_absent);
  // Again every second while no thread can be made.
  Joined join_when_possible(const PullRequest& request, bool is_absent, const std::stop_token& stop);

  // Nothing if the engine could not be asked.
  std::optional<bool> is_present(const PullRequest& request, const std::stop_token& stop);
  void pull(const PullRequest& request, bool is_absent, const std::stop_token& stop);

  const PullTools tools_;
  os::Mutex mutex_;
  std::list<std::weak_ptr<SharedPull>> pulls_ DSTACK_GUARDED_BY(mutex_);
};

}  // namespace dstack::shim::docker
