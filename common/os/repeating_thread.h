#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <string_view>
#include <thread>

#include "common/os/clock.h"
#include "common/os/mutex.h"

namespace dstack::os {

// Does something again and again, on a thread of its own.
class RepeatingThread {
 public:
  // `work` begins `interval` after the construction, and again `interval` after each end. It must not throw, and has to
  // return soon once its token says so. Throws Error if no thread can be started; `purpose` is for the message.
  RepeatingThread(std::string_view purpose, std::chrono::nanoseconds interval,
                  std::function<void(const std::stop_token&)> work, Clock& clock);
  RepeatingThread(const RepeatingThread&) = delete;
  RepeatingThread& operator=(const RepeatingThread&) = delete;
  // Waits for work that has begun.
  ~RepeatingThread();

  // The length of all later pauses. Only `work` may call it.
  void set_interval(std::chrono::nanoseconds interval) { interval_ = interval; }

 private:
  void run(const std::stop_token& stop);

  std::chrono::nanoseconds interval_;  // of the thread, once it runs
  const std::function<void(const std::stop_token&)> work_;
  Clock& clock_;
  Mutex mutex_;
  std::condition_variable changed_;
  std::jthread thread_;  // last: it ends before what it uses
};

}  // namespace dstack::os
