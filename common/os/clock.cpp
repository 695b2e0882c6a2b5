#include "common/os/clock.h"

#include <sys/timerfd.h>

#include "common/error.h"
#include "common/os/unique_fd.h"

namespace dstack::os {

namespace {

class SystemTimer final : public Timer {
 public:
  // steady_clock is CLOCK_MONOTONIC on Linux, so its time points are this timer's own.
  SystemTimer() : fd_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
    if (!fd_) throw os_error("create a timer", "");
  }

  int fd() const override { return fd_.get(); }

  void arm(SteadyTime deadline) override {
    const auto since_boot = deadline.time_since_epoch();
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_boot);
    itimerspec spec{};
    spec.it_value.tv_sec = seconds.count();
    spec.it_value.tv_nsec = std::chrono::duration_cast<std::chrono::nanoseconds>(since_boot - seconds).count();
    // A value of zero would disarm; a moment long past fires at once.
    if (since_boot.count() <= 0) spec.it_value = {.tv_sec = 0, .tv_nsec = 1};
    set(spec);
  }

  void disarm() override { set({}); }

 private:
  void set(const itimerspec& spec) {
    if (::timerfd_settime(fd_.get(), TFD_TIMER_ABSTIME, &spec, nullptr) != 0) throw os_error("set a timer", "");
  }

  UniqueFd fd_;
};

class SystemClock final : public Clock {
 public:
  SteadyTime now() const override { return std::chrono::steady_clock::now(); }
  WallTime wall() const override { return std::chrono::system_clock::now(); }

  bool wait_until(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, SteadyTime deadline,
                  const std::function<bool()>& done) override {
    return changed.wait_until(lock, deadline, done);
  }

  std::unique_ptr<Timer> make_timer() override { return std::make_unique<SystemTimer>(); }
};

}  // namespace

Clock& system_clock() {
  static SystemClock clock;
  return clock;
}

bool pause(Clock& clock, std::chrono::nanoseconds length, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable changed;
  const std::stop_callback wake(stop, [&] {
    const std::scoped_lock lock(mutex);
    changed.notify_all();
  });
  std::unique_lock lock(mutex);
  const SteadyTime deadline = clock.now() + std::chrono::duration_cast<SteadyTime::duration>(length);
  return !clock.wait_until(lock, changed, deadline, [&stop] { return stop.stop_requested(); });
}

}  // namespace dstack::os
