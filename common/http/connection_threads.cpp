#include "common/http/connection_threads.h"

#include <spdlog/spdlog.h>
#include <exception>
#include <system_error>
#include <thread>

namespace dstack::http {

bool ConnectionThreads::run(std::function<void()> job) {
  const os::Lock lock(mutex_);
  if (finishing_) return false;
  if (jobs_.size() >= idle_) {
    if (threads_ >= limit_) return false;
    try {
      std::thread([this] { work(); }).detach();
    } catch (const std::system_error&) {
      return false;
    }
    ++threads_;
  }
  jobs_.push_back(std::move(job));
  changed_.notify_one();
  return true;
}

void ConnectionThreads::finish() {
  os::Lock lock(mutex_);
  finishing_ = true;
  changed_.notify_all();
  changed_.wait(lock.native(), [this]() DSTACK_REQUIRES(mutex_) { return threads_ == 0; });
}

void ConnectionThreads::work() {
  os::Lock lock(mutex_);
  while (true) {
    if (jobs_.empty()) {
      if (finishing_ || idle_ >= spare_) break;
      ++idle_;
      changed_.wait(lock.native(), [this]() DSTACK_REQUIRES(mutex_) { return !jobs_.empty() || finishing_; });
      --idle_;
      continue;
    }
    std::function<void()> job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    try {
      job();
    } catch (const std::exception& error) {
      spdlog::error("A connection's thread: {}", error.what());
    }
    job = nullptr;
    lock.lock();
  }
  --threads_;
  // Under the lock, so that finish() cannot return and the object go while this still touches it.
  changed_.notify_all();
}

}  // namespace dstack::http
