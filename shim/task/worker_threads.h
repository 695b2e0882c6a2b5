#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <thread>
#include <vector>

#include "common/os/clock.h"
#include "common/os/mutex.h"

namespace dstack::shim::task {

// Short-lived threads. One that has ended is joined when the next begins or ends, so at most one is left over. A job
// that no thread can be made for (the host's or the service's limit is reached) waits until there can be one: a thread
// that is there from the beginning tries every second.
class WorkerThreads {
 public:
  // Throws Error (exhausted).
  explicit WorkerThreads(os::Clock& clock = os::system_clock());
  WorkerThreads(const WorkerThreads&) = delete;
  WorkerThreads& operator=(const WorkerThreads&) = delete;
  // As finish().
  ~WorkerThreads() { finish(); }

  // Waits for all of them, and for those they start meanwhile: the owner has told them to end. Jobs that still wait for
  // a thread are dropped.
  void finish();

  // What a job throws is logged. From any thread, also from a job.
  void run(std::function<void()> job);

 private:
  // False if no thread can be made.
  bool start(const std::function<void()>& job) DSTACK_REQUIRES(mutex_);
  void ended(std::uint64_t number);
  void retry(const std::stop_token& stop);

  os::Clock& clock_;
  os::Mutex mutex_;
  std::map<std::uint64_t, std::thread> running_ DSTACK_GUARDED_BY(mutex_);
  std::vector<std::thread> ended_ DSTACK_GUARDED_BY(mutex_);
  std::deque<std::function<void()>> waiting_ DSTACK_GUARDED_BY(mutex_);  // for a thread
  std::condition_variable_any changed_;
  std::uint64_t next_number_ DSTACK_GUARDED_BY(mutex_) = 0;
  std::jthread retrying_;  // last: it uses the others
};

}  // namespace dstack::shim::task
