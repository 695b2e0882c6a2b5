#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>

#include "common/os/mutex.h"

namespace dstack::http {

// Runs each job on a thread of its own at once, since a job is a connection and may last for hours. Threads that have
// finished wait for the next job: `spare` of them for ever, the rest end. httplib's own pool can queue a connection
// behind a busy thread although it may still grow, and so let a new request wait for an open WebSocket.
class ConnectionThreads {
 public:
  ConnectionThreads(std::size_t spare, std::size_t limit) : spare_(spare), limit_(limit) {}
  ConnectionThreads(const ConnectionThreads&) = delete;
  ConnectionThreads& operator=(const ConnectionThreads&) = delete;
  ~ConnectionThreads() { finish(); }

  // False when `limit` jobs run already or no thread could be made.
  bool run(std::function<void()> job);

  // Takes no more jobs and waits for those that run.
  void finish();

 private:
  void work();

  const std::size_t spare_;
  const std::size_t limit_;
  os::Mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_ DSTACK_GUARDED_BY(mutex_);
  std::size_t threads_ DSTACK_GUARDED_BY(mutex_) = 0;
  std::size_t idle_ DSTACK_GUARDED_BY(mutex_) = 0;
  bool finishing_ DSTACK_GUARDED_BY(mutex_) = false;
};

}  // namespace dstack::http
