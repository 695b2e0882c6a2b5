#include "shim/docker/container_watcher.h"

#include <spdlog/spdlog.h>
#include <algorithm>

#include "common/error.h"
#include "common/os/thread.h"
#include "shim/docker/container_spec.h"

namespace dstack::shim::docker {

namespace {

using namespace std::chrono_literals;

// The engine drops events for a listener that it finds slow, so the stream is renewed now and then, with a list before
// it: an event that was lost costs minutes.
constexpr std::chrono::milliseconds kRenewal = 5min;
constexpr std::chrono::milliseconds kLookLimit = 10s;
constexpr std::chrono::milliseconds kPingLimit = 5s;
constexpr int kFirstSignalStatus = 129;
constexpr std::chrono::milliseconds kFirstPause = 100ms;
constexpr std::chrono::milliseconds kLongestPause = 10s;

std::chrono::milliseconds pause_after(int failures) {
  return std::min(kLongestPause, kFirstPause * (1 << std::min(failures - 1, 10)));
}

}  // namespace

ContainerWatcher::ContainerWatcher(EngineClient& engine, Handlers handlers, os::Clock& clock)
    : engine_(engine), handlers_(std::move(handlers)), clock_(clock) {}

ContainerWatcher::~ContainerWatcher() {
  follower_.request_stop();
  examiner_.request_stop();
}

void ContainerWatcher::start() {
  follower_ =
      os::start_thread<std::jthread>("follow containers", [this](const std::stop_token& stop) { follow(stop); });
  examiner_ =
      os::start_thread<std::jthread>("examine containers", [this](const std::stop_token& stop) { examine(stop); });
}

void ContainerWatcher::watch(const std::string& container_id) {
  const os::Lock lock(mutex_);
  watched_.insert(container_id);
  suspect(container_id, std::nullopt);
}

void ContainerWatcher::forget(const std::string& container_id) {
  const os::Lock lock(mutex_);
  watched_.erase(container_id);
}

void ContainerWatcher::suspect(const std::string& container_id, std::optional<int> exit_code, bool engine_was_away) {
  if (!watched_.contains(container_id)) return;
  const auto known = std::ranges::find(suspects_, container_id, &Suspect::container_id);
  if (known == suspects_.end()) {
    suspects_.push_back({container_id, exit_code, engine_was_away});
  } else {
    if (exit_code) known->exit_code = exit_code;
    known->engine_was_away = known->engine_was_away || engine_was_away;
  }
  changed_.notify_all();
}

void ContainerWatcher::compare(const std::vector<ContainerSummary>& containers, bool engine_was_away) {
  std::set<std::string_view> alive;
  for (const ContainerSummary& container : containers) {
    if (!has_ended(container.status)) alive.insert(container.id);
  }
  const os::Lock lock(mutex_);
  ++lists_;
  lost_ = false;
  changed_.notify_all();
  for (const std::string& id : watched_) {
    if (!alive.contains(id)) suspect(id, std::nullopt, engine_was_away);
  }
}

bool ContainerWatcher::pause(std::chrono::milliseconds length, const std::stop_token& stop) {
  const std::stop_callback wake(stop, [this] {
    const os::Lock lock(mutex_);
    changed_.notify_all();
  });
  os::Lock lock(mutex_);
  const std::uint64_t lists = lists_;
  clock_.wait_until(lock.native(), changed_, clock_.now() + length,
                    [&]() DSTACK_REQUIRES(mutex_) { return stop.stop_requested() || lists_ != lists; });
  return !stop.stop_requested();
}

void ContainerWatcher::follow(const std::stop_token& stop) {
  int failures = 0;
  while (!stop.stop_requested()) {
    std::string reason = "the stream of events ended";
    os::SteadyTime connected = os::SteadyTime::max();
    try {
      if (failures > 0) engine_.connect({.stop = stop});
      std::chrono::sys_seconds at;
      const std::vector<ContainerSummary> containers = engine_.list(kTaskLabel, {.stop = stop}, &at);
      compare(containers, failures > 0);
      if (handlers_.listed) handlers_.listed(containers);
      if (failures > 0) spdlog::info("Docker is back");
      connected = clock_.now();
      // Whatever happened since the list was made comes with the stream, and what came before does no harm.
      engine_.follow_ends(kTaskLabel, at,
                          [this](const ContainerEvent& event) {
                            if (event.action == "create") {
                              if (handlers_.made) handlers_.made(event.container_id, event.task_id);
                              return;
                            }
                            const os::Lock lock(mutex_);
                            suspect(event.container_id, event.exit_code);
                          },
                          {.stop = stop, .limit = kRenewal});
    } catch (const Error& error) {
      if (stop.stop_requested()) return;
      if (error.kind() == ErrorKind::timed_out && connected != os::SteadyTime::max()) {
        failures = 0;
        continue;
      }
      reason = error.what();
    } catch (const std::exception& error) {
      reason = error.what();
    }
    if (connected != os::SteadyTime::max() && clock_.now() - connected > kLongestPause) failures = 0;
    ++failures;
    note_loss();
    const std::chrono::milliseconds length = pause_after(failures);
    spdlog::log(failures == 1 ? spdlog::level::warn : spdlog::level::debug,
                "The stream of Docker events was interrupted, retrying in {} ms: {}", length.count(), reason);
    if (!pause(length, stop)) return;
  }
}

void ContainerWatcher::examine(const std::stop_token& stop) {
  const std::stop_callback wake(stop, [this] {
    const os::Lock lock(mutex_);
    changed_.notify_all();
  });
  int failures = 0;
  while (true) {
    Suspect next;
    {
      os::Lock lock(mutex_);
      changed_.wait(lock.native(),
                    [&]() DSTACK_REQUIRES(mutex_) { return stop.stop_requested() || !suspects_.empty(); });
      if (stop.stop_requested()) return;
      next = std::move(suspects_.front());
      suspects_.pop_front();
      if (!watched_.contains(next.container_id)) continue;
    }
    try {
      const std::optional<ContainerEnd> end = find_end(next, stop);
      failures = 0;
      if (end) report(*end);
    } catch (const std::exception& error) {
      if (stop.stop_requested()) return;
      {
        const os::Lock lock(mutex_);
        const bool away = next.engine_was_away || error_kind(error) == ErrorKind::unavailable;
        suspect(next.container_id, next.exit_code, away);
      }
      ++failures;
      spdlog::log(failures == 1 ? spdlog::level::warn : spdlog::level::debug, "{}; trying again", error.what());
      if (!pause(pause_after(failures), stop)) return;
    }
  }
}

std::optional<ContainerEnd> ContainerWatcher::find_end(const Suspect& suspect, const std::stop_token& stop) {
  const std::uint64_t losses_before = losses();
  const std::optional<ContainerDetails> container =
      engine_.inspect(suspect.container_id, {.stop = stop, .limit = kLookLimit});
  if (!container) {
    return ContainerEnd{.container_id = suspect.container_id, .gone = true, .exit_code = suspect.exit_code};
  }
  if (!has_ended(container->status)) return std::nullopt;
  const bool by_signal = container->exit_code >= kFirstSignalStatus;
  return ContainerEnd{
      .container_id = suspect.container_id,
      .exit_code = container->exit_code,
      .out_of_memory = container->out_of_memory,
      .error = container->error,
      .engine_was_away = suspect.engine_was_away || (by_signal && engine_is_leaving(losses_before, stop))};
}

// An engine that shuts down ends its containers before it is gone itself.
bool ContainerWatcher::engine_is_leaving(std::uint64_t losses_before, const std::stop_token& stop) {
  if (!engine_.takes_connections({.stop = stop, .limit = kPingLimit})) return true;
  // Where the service manager holds the socket, the next engine may have answered.
  const os::Lock lock(mutex_);
  return lost_ || losses_ != losses_before;
}

std::uint64_t ContainerWatcher::losses() {
  const os::Lock lock(mutex_);
  return losses_;
}

void ContainerWatcher::note_loss() {
  const os::Lock lock(mutex_);
  ++losses_;
  lost_ = true;
}

void ContainerWatcher::report(ContainerEnd end) {
  {
    const os::Lock lock(mutex_);
    if (watched_.erase(end.container_id) == 0) return;
    // It may have been suspected again, by the list of an engine that is back, while it was being looked at.
    const auto again = std::ranges::find(suspects_, end.container_id, &Suspect::container_id);
    if (again != suspects_.end() && again->engine_was_away) end.engine_was_away = true;
  }
  try {
    handlers_.ended(end);
  } catch (const std::exception& error) {
    spdlog::error("cannot process the exit of container {}: {}", end.container_id, error.what());
  }
}

}  // namespace dstack::shim::docker
