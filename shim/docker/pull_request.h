#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>

#include "shim/docker/engine_types.h"
#include "shim/docker/image_reference.h"
#include "shim/docker/pull_failure.h"
#include "shim/docker/pull_progress.h"
#include "shim/docker/pull_times.h"

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
  std::chrono::milliseconds mirror_stall = std::chrono::seconds{30};  // then the image's own registry is asked
};

struct PullOutcome {
  std::chrono::nanoseconds took{0};  // with all attempts
  std::optional<PullFailure> failure;
  PullTimes times;
};

}  // namespace dstack::shim::docker
