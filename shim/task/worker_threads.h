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
//
// `on_quiet` is called on that thread a second after the last job has ended, if none has begun since; and a second
// after the beginning.
class WorkerThreads {
 public:
  // Throws Error (exhausted).
  explicit WorkerThreads(os::Clock& clock = os::system_clock(), std::function<void()> on_quiet = {});
  WorkerThreads(const WorkerThreads&) = delete;
  WorkerThreads& operator=(const WorkerThreads&) = delete;
  // As finish().
  // NOLINTNEXTLINE(bugprone-exception-escape): a mutex that cannot be locked is the end of the program
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
  void look_after(const std::stop_token& stop);
  bool has_become_quiet() const DSTACK_REQUIRES(mutex_);

  os::Clock& clock_;
  const std::function<void()> on_quiet_;
  os::Mutex mutex_;
  std::map<std::uint64_t, std::thread> running_ DSTACK_GUARDED_BY(mutex_);
  std::vector<std::thread> ended_ DSTACK_GUARDED_BY(mutex_);
  std::deque<std::function<void()>> waiting_ DSTACK_GUARDED_BY(mutex_);  // for a thread
  bool was_quiet_ DSTACK_GUARDED_BY(mutex_) = false;                     // since the last job
  std::condition_variable_any changed_;
  std::uint64_t next_number_ DSTACK_GUARDED_BY(mutex_) = 0;
  std::jthread looking_after_;  // last: it uses the others
};

}  // namespace dstack::shim::task
