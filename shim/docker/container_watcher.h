#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "common/os/clock.h"
#include "common/os/mutex.h"
#include "shim/docker/engine_client.h"

namespace dstack::shim::docker {

// A watched container runs no longer.
struct ContainerEnd {
  std::string container_id;
  bool gone = false;             // removed behind our back; the engine knows nothing of it any more
  std::optional<int> exit_code;  // absent for a container that is gone before its end was seen
  bool out_of_memory = false;
  std::string error;             // the engine's own words, if it has any
  bool engine_was_away = false;  // the engine was shutting down, or away, when it ended
};

// The single place where the end of a container is found. One thread follows the engine's events; whenever that stream
// is (re)connected, which is every few minutes at the latest, it lists the task containers and compares. A second
// thread looks at each container that may have ended and reports. An engine that is away or hangs is waited for, with a
// growing pause of at most 10 s.
//
// All members but the destructor may be called from any thread, at any time, and do not block.
class ContainerWatcher {
 public:
  struct Handlers {
    // Called once for each watched container that ended, on the watcher's thread, with no lock of the watcher held.
    // The container is forgotten by then. It must not block: hand work that waits to another thread.
    std::function<void(const ContainerEnd&)> ended;
    // Called with every list of all task containers on this engine, other shims' too: for finding what was left behind.
    // May be empty. On the watcher's other thread.
    std::function<void(const std::vector<ContainerSummary>&)> listed;
    // Called for each container that is made for a task of any shim; as `listed`, and must not block.
    std::function<void(const std::string& container_id, const std::string& task_id)> made = {};
  };

  ContainerWatcher(EngineClient& engine, Handlers handlers, os::Clock& clock = os::system_clock());
  ContainerWatcher(const ContainerWatcher&) = delete;
  ContainerWatcher& operator=(const ContainerWatcher&) = delete;
  // Ends both threads at once, in the middle of a call to the engine too; waits for a handler that runs.
  ~ContainerWatcher();

  // Begins to work; watch() may be called before.
  void start();

  // Reports the end of this container (its full id), even if it lies in the past. One that is created and not started
  // has not ended.
  void watch(const std::string& container_id);

  // No report is begun after this; one that is under way is not waited for.
  void forget(const std::string& container_id);

 private:
  struct Suspect {
    std::string container_id;
    std::optional<int> exit_code;  // of the event that led here
    bool engine_was_away = false;
  };

  void follow(const std::stop_token& stop);
  void examine(const std::stop_token& stop);
  void compare(const std::vector<ContainerSummary>& containers, bool engine_was_away);
  void suspect(const std::string& container_id, std::optional<int> exit_code, bool engine_was_away = false)
      DSTACK_REQUIRES(mutex_);
  std::optional<ContainerEnd> find_end(const Suspect& suspect, const std::stop_token& stop);
  bool engine_is_leaving(std::uint64_t losses_before, const std::stop_token& stop);
  std::uint64_t losses();
  void note_loss();
  void report(ContainerEnd end);
  // False when it was ended by `stop`. A list that worked ends it too: the engine is back.
  bool pause(std::chrono::milliseconds length, const std::stop_token& stop);

  EngineClient& engine_;
  const Handlers handlers_;
  os::Clock& clock_;

  os::Mutex mutex_;
  std::condition_variable changed_;
  std::set<std::string, std::less<>> watched_ DSTACK_GUARDED_BY(mutex_);
  std::deque<Suspect> suspects_ DSTACK_GUARDED_BY(mutex_);  // to be looked at, each once
  std::uint64_t lists_ DSTACK_GUARDED_BY(mutex_) = 0;
  std::uint64_t losses_ DSTACK_GUARDED_BY(mutex_) = 0;  // how often the stream of events has broken
  bool lost_ DSTACK_GUARDED_BY(mutex_) = false;         // it has, and is not back

  // Last, so that they end before what they use.
  std::jthread follower_;
  std::jthread examiner_;
};

}  // namespace dstack::shim::docker
