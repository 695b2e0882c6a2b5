#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

namespace dstack::shim::task {

// Short-lived threads. One that has ended is joined when the next begins or ends, so at most one is left over.
class WorkerThreads {
 public:
  WorkerThreads() = default;
  WorkerThreads(const WorkerThreads&) = delete;
  WorkerThreads& operator=(const WorkerThreads&) = delete;
  // As finish().
  ~WorkerThreads() { finish(); }

  // Waits for all of them, and for those they start meanwhile: whoever owns them has told them to end.
  void finish();

  // `job` must not throw. From any thread, also from a job.
  void run(std::function<void()> job);

 private:
  void ended(std::uint64_t number);

  std::mutex mutex_;
  std::map<std::uint64_t, std::thread> running_;
  std::vector<std::thread> ended_;
  std::uint64_t next_number_ = 0;
};

}  // namespace dstack::shim::task
