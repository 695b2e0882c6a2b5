#include "shim/task/worker_threads.h"

#include <utility>

namespace dstack::shim::task {

namespace {

void join(std::vector<std::thread>& threads) {
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

void WorkerThreads::finish() {
  // A job may start another one until the last has ended.
  while (true) {
    std::vector<std::thread> threads;
    {
      const std::scoped_lock lock(mutex_);
      threads = std::exchange(ended_, {});
      for (auto& [number, thread] : running_) threads.push_back(std::move(thread));
      running_.clear();
    }
    if (threads.empty()) return;
    join(threads);
  }
}

void WorkerThreads::run(std::function<void()> job) {
  std::vector<std::thread> finished;
  {
    const std::scoped_lock lock(mutex_);
    finished = std::exchange(ended_, {});
    const std::uint64_t number = next_number_++;
    running_.emplace(number, std::thread([this, number, job = std::move(job)] {
                       job();
                       ended(number);
                     }));
  }
  join(finished);
}

void WorkerThreads::ended(std::uint64_t number) {
  std::vector<std::thread> finished;
  {
    const std::scoped_lock lock(mutex_);
    finished = std::exchange(ended_, {});
    // Not there once the destructor has taken it over.
    if (const auto self = running_.find(number); self != running_.end()) {
      ended_.push_back(std::move(self->second));
      running_.erase(self);
    }
  }
  join(finished);
}

}  // namespace dstack::shim::task
