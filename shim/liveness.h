#pragma once

#include <condition_variable>
#include <functional>
#include <thread>

#include "common/os/clock.h"
#include "common/os/mutex.h"
#include "common/os/service_notifier.h"

namespace dstack::shim {

// Keeps the service manager's watchdog quiet for as long as the shim answers: asks it twice within the watchdog's limit
// and says nothing when no answer comes, so that a shim that hangs is killed and started again, which costs its tasks
// nothing. Without a watchdog it does nothing.
class Liveness {
 public:
  // `answers` is called on a thread of its own, and may block until its answer is there.
  Liveness(os::ServiceNotifier& notifier, std::function<bool()> answers, os::Clock& clock = os::system_clock());
  Liveness(const Liveness&) = delete;
  Liveness& operator=(const Liveness&) = delete;
  ~Liveness();

 private:
  void watch(std::chrono::microseconds limit);

  os::ServiceNotifier& notifier_;
  const std::function<bool()> answers_;
  os::Clock& clock_;
  os::Mutex mutex_;
  std::condition_variable changed_;
  bool gone_ DSTACK_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// Whether a shim on this port of the loopback interface answers its health check within 10 s.
bool answers_health_check(int port);

}  // namespace dstack::shim
