#include "common/os/repeating_thread.h"

#include <utility>

#include "common/os/thread.h"

namespace dstack::os {

RepeatingThread::RepeatingThread(std::string_view purpose, std::chrono::nanoseconds interval,
                                 std::function<void(const std::stop_token&)> work, Clock& clock)
    : interval_(interval),
      work_(std::move(work)),
      clock_(clock),
      thread_(start_thread<std::jthread>(purpose, [this](const std::stop_token& stop) { run(stop); })) {}

RepeatingThread::~RepeatingThread() {
  thread_.request_stop();
  const Lock lock(mutex_);
  changed_.notify_all();
}

void RepeatingThread::run(const std::stop_token& stop) {
  Lock lock(mutex_);
  while (!stop.stop_requested()) {
    clock_.wait_until(lock.native(), changed_, clock_.now() + interval_, [&] { return stop.stop_requested(); });
    if (stop.stop_requested()) return;
    lock.unlock();
    work_(stop);
    lock.lock();
  }
}

}  // namespace dstack::os
