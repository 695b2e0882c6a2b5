#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>

namespace dstack::os {

using SteadyTime = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;

// Since the epoch, as files and other programs have it.
constexpr std::int64_t unix_seconds(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}
constexpr std::int64_t unix_milliseconds(WallTime time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

// A deadline as a descriptor: fd() becomes readable when it is reached, for use with poll(2).
// Not thread-safe; one thread arms and waits.
class Timer {
 public:
  virtual ~Timer() = default;
  virtual int fd() const = 0;
  virtual void arm(SteadyTime deadline) = 0;
  // Forgets the deadline and makes fd() unreadable.
  virtual void disarm() = 0;
};

// The one source of time. Code that waits for a moment asks this interface, so that tests can turn it
// (tests/support/fake_clock.h). All members may be called from any thread.
class Clock {
 public:
  virtual ~Clock() = default;

  virtual SteadyTime now() const = 0;
  virtual WallTime wall() const = 0;

  // Waits on `changed` until `done()` or until `deadline`; returns the last value of `done()`.
  // `lock` is held on entry, at every call of `done` and on return.
  virtual bool wait_until(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, SteadyTime deadline,
                          const std::function<bool()>& done) = 0;

  virtual std::unique_ptr<Timer> make_timer() = 0;
};

// The machine's own clock; lives as long as the process.
Clock& system_clock();

// Lets `length` pass; false when `stop` ended it.
bool pause(Clock& clock, std::chrono::nanoseconds length, const std::stop_token& stop);

}  // namespace dstack::os
