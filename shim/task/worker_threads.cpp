#include "shim/task/worker_threads.h"

#include <spdlog/spdlog.h>
#include <chrono>
#include <exception>
#include <utility>

#include "common/error.h"
#include "common/os/thread.h"

namespace dstack::shim::task {

namespace {

constexpr std::chrono::seconds kRetryPause{1};
constexpr std::chrono::seconds kQuietPause{1};

void join(std::vector<std::thread>& threads) {
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

WorkerThreads::WorkerThreads(os::Clock& clock, std::function<void()> on_quiet)
    : clock_(clock),
      on_quiet_(std::move(on_quiet)),
      looking_after_(os::start_thread<std::jthread>("start others later",
                                                    [this](const std::stop_token& stop) { look_after(stop); })) {}

void WorkerThreads::finish() {
  looking_after_.request_stop();
  if (looking_after_.joinable()) looking_after_.join();
  // A job may start another one until the last has ended.
  while (true) {
    std::vector<std::thread> threads;
    {
      const os::Lock lock(mutex_);
      waiting_.clear();
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
    const os::Lock lock(mutex_);
    finished = std::exchange(ended_, {});
    // In their order: those that wait come first.
    if (!waiting_.empty() || !start(job)) waiting_.push_back(std::move(job));
    changed_.notify_all();
  }
  join(finished);
}

bool WorkerThreads::start(const std::function<void()>& job) {
  const std::uint64_t number = next_number_++;
  was_quiet_ = false;
  try {
    running_.emplace(number, os::start_thread("work on a task", [this, number, job] {
                       try {
                         job();
                       } catch (const std::exception& error) {
                         spdlog::error("work on a task: {}", error.what());
                       }
                       ended(number);
                     }));
    return true;
  } catch (const std::exception& error) {
    spdlog::log(waiting_.empty() ? spdlog::level::err : spdlog::level::debug, "{}; trying again every second",
                error.what());
    return false;
  }
}

bool WorkerThreads::has_become_quiet() const { return on_quiet_ && running_.empty() && !was_quiet_; }

void WorkerThreads::look_after(const std::stop_token& stop) {
  os::Lock lock(mutex_);
  while (
      changed_.wait(lock, stop, [this]() DSTACK_REQUIRES(mutex_) { return !waiting_.empty() || has_become_quiet(); })) {
    const bool may_be_quiet = waiting_.empty();
    const std::uint64_t number = next_number_;
    lock.unlock();
    const bool goes_on = os::pause(clock_, may_be_quiet ? kQuietPause : kRetryPause, stop);
    lock.lock();
    if (!goes_on) return;
    while (!waiting_.empty() && start(waiting_.front())) waiting_.pop_front();
    if (!may_be_quiet || next_number_ != number) continue;
    was_quiet_ = true;
    lock.unlock();
    on_quiet_();
    lock.lock();
  }
}

void WorkerThreads::ended(std::uint64_t number) {
  std::vector<std::thread> finished;
  {
    const os::Lock lock(mutex_);
    finished = std::exchange(ended_, {});
    // Not there once the destructor has taken it over.
    if (const auto self = running_.find(number); self != running_.end()) {
      ended_.push_back(std::move(self->second));
      running_.erase(self);
      changed_.notify_all();
    }
  }
  join(finished);
}

}  // namespace dstack::shim::task
