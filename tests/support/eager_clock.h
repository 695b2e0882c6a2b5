#pragma once

#include <atomic>
#include <cstdint>

#include "common/os/clock.h"

namespace dstack::test {

// A clock on which pauses take no time: a wait moves it to its deadline and returns. For code that waits on its own;
// where somebody else is waited for, FakeClock is the one. Timers, which bound what other programs do, run in real
// time.
class EagerClock : public os::Clock {
 public:
  os::SteadyTime now() const override {
    return os::system_clock().now() + std::chrono::duration_cast<os::SteadyTime::duration>(ahead());
  }
  os::WallTime wall() const override {
    return os::system_clock().wall() + std::chrono::duration_cast<os::WallTime::duration>(ahead());
  }

  bool wait_until(std::unique_lock<std::mutex>&, std::condition_variable&, os::SteadyTime deadline,
                  const std::function<bool()>& done) override {
    if (done()) return true;
    const auto left = deadline - now();
    if (left.count() > 0) ahead_ += std::chrono::duration_cast<std::chrono::nanoseconds>(left).count();
    return done();
  }

  std::unique_ptr<os::Timer> make_timer() override { return std::make_unique<EagerTimer>(*this); }

  // How much waiting has been left out.
  std::chrono::nanoseconds ahead() const { return std::chrono::nanoseconds(ahead_.load()); }

 private:
  class EagerTimer final : public os::Timer {
   public:
    explicit EagerTimer(const EagerClock& clock) : clock_(clock), timer_(os::system_clock().make_timer()) {}
    int fd() const override { return timer_->fd(); }
    void arm(os::SteadyTime deadline) override { timer_->arm(deadline - clock_.ahead()); }
    void disarm() override { timer_->disarm(); }

   private:
    const EagerClock& clock_;
    const std::unique_ptr<os::Timer> timer_;
  };

  std::atomic<std::int64_t> ahead_ = 0;
};

}  // namespace dstack::test
