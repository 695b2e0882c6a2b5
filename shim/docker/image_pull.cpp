#include "shim/docker/image_pull.h"

#include <spdlog/spdlog.h>
#include <format>

#include "common/error.h"
#include "shim/docker/shared_pull.h"

namespace dstack::shim::docker {

namespace {

constexpr std::chrono::seconds kThreadPause{1};

}  // namespace

ImagePuller::ImagePuller(PullTools tools) : tools_(std::move(tools)) {}

ImagePuller::ImagePuller(EngineClient& engine, os::Clock& clock) : ImagePuller({.engine = engine, .clock = clock}) {}

ImagePuller::~ImagePuller() = default;

struct ImagePuller::Joined {
  std::shared_ptr<SharedPull> pull;
  std::shared_ptr<SharedPull::Waiter> waiter;
};

ImagePuller::Joined ImagePuller::join(const PullRequest& request, bool is_absent) {
  const os::Lock lock(mutex_);
  std::erase_if(pulls_, [](const std::weak_ptr<SharedPull>& known) { return known.expired(); });
  for (const std::weak_ptr<SharedPull>& known : pulls_) {
    const std::shared_ptr<SharedPull> pull = known.lock();
    if (!pull || !pull->serves(request)) continue;
    if (auto waiter = pull->enter(request)) return {.pull = pull, .waiter = std::move(waiter)};
  }
  const auto pull = std::make_shared<SharedPull>(tools_, request, is_absent);
  auto waiter = pull->enter(request);
  pulls_.push_back(pull);
  return {.pull = pull, .waiter = std::move(waiter)};
}

ImagePuller::Joined ImagePuller::join_when_possible(const PullRequest& request, bool is_absent,
                                                    const std::stop_token& stop) {
  const os::SteadyTime deadline = tools_.clock.now() + tools_.limits.stall;
  for (int attempt = 1;; ++attempt) {
    try {
      return join(request, is_absent);
    } catch (const std::exception& error) {
      if (dstack::error_kind(error) != ErrorKind::exhausted || tools_.clock.now() >= deadline) throw;
      spdlog::log(attempt == 1 ? spdlog::level::err : spdlog::level::debug, "{}; trying again every second",
                  error.what());
    }
    if (!os::pause(tools_.clock, kThreadPause, stop))
      throw Error(ErrorKind::cancelled, std::format("pull {}: cancelled", request.image.name()));
  }
}

void ImagePuller::sweep(const std::stop_token& stop) {
  if (tools_.mirror_names != nullptr) tools_.mirror_names->sweep(stop);
}

bool ImagePuller::ensure(const PullRequest& request, const std::stop_token& stop) {
  const bool look_first = request.policy == PullPolicy::missing && !request.image.is_latest();
  bool is_absent = false;
  if (request.policy == PullPolicy::never || look_first) {
    const std::optional<bool> present = is_present(request, stop);
    is_absent = present == false;
    if (present == true) {
      if (tools_.observer != nullptr) tools_.observer->used(request.image);
      return false;
    }
    if (request.policy == PullPolicy::never) {
      throw Error(ErrorKind::not_found,
                  std::format("image {} is not present, and pulling it is not allowed", request.image.name()));
    }
  }
  try {
    pull(request, is_absent, stop);
    return true;
  } catch (const std::exception& error) {
    if (request.policy != PullPolicy::newer || dstack::error_kind(error) == ErrorKind::cancelled) throw;
    if (is_present(request, stop) != true) throw;
    spdlog::warn("{}; using the image that is present", error.what());
    return false;
  }
}

std::optional<bool> ImagePuller::is_present(const PullRequest& request, const std::stop_token& stop) {
  try {
    return tools_.engine.image_present(request.image, {.stop = stop});
  } catch (const Error& error) {
    // A pull will meet the same trouble, and has patience.
    if (!may_pass(error.kind()) || request.policy == PullPolicy::never) throw;
    return std::nullopt;
  }
}

void ImagePuller::pull(const PullRequest& request, bool is_absent, const std::stop_token& stop) {
  const Joined joined = join_when_possible(request, is_absent, stop);
  joined.pull->wait(joined.waiter, stop);
}

}  // namespace dstack::shim::docker
