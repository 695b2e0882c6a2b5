#include "tests/support/fake_clock.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <optional>

#include "common/error.h"
#include "common/os/unique_fd.h"

namespace dstack::test {

// Readable when the clock has been turned to its deadline. Guarded by the clock's mutex.
class FakeClock::FakeTimer final : public os::Timer {
 public:
  explicit FakeTimer(FakeClock& clock) : clock_(clock), fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!fd_) throw os_error("create an event descriptor", "");
    const std::scoped_lock lock(clock_.mutex_);
    clock_.timers_.insert(this);
  }
  ~FakeTimer() override {
    const std::scoped_lock lock(clock_.mutex_);
    clock_.timers_.erase(this);
  }
  FakeTimer(const FakeTimer&) = delete;
  FakeTimer& operator=(const FakeTimer&) = delete;

  int fd() const override { return fd_.get(); }

  void arm(os::SteadyTime deadline) override {
    const std::scoped_lock lock(clock_.mutex_);
    clear();
    deadline_ = deadline;
    fire_if_due();
    clock_.waiters_changed_.notify_all();
  }

  void disarm() override {
    const std::scoped_lock lock(clock_.mutex_);
    clear();
    deadline_.reset();
  }

  void fire_if_due() {
    if (!deadline_ || *deadline_ > clock_.now_) return;
    ::eventfd_write(fd_.get(), 1);
    deadline_.reset();
  }

  const std::optional<os::SteadyTime>& deadline() const { return deadline_; }

 private:
  void clear() {
    eventfd_t value = 0;
    ::eventfd_read(fd_.get(), &value);
  }

  FakeClock& clock_;
  os::UniqueFd fd_;
  std::optional<os::SteadyTime> deadline_;
};

os::SteadyTime FakeClock::now() const {
  const std::scoped_lock lock(mutex_);
  return now_;
}

os::WallTime FakeClock::wall() const {
  const std::scoped_lock lock(mutex_);
  return wall_;
}

bool FakeClock::wait_until(std::unique_lock<std::mutex>& lock, std::condition_variable& changed,
                           os::SteadyTime deadline, const std::function<bool()>& done) {
  const auto self = add_waiter(deadline);
  // Its condition wakes it at once; that the clock was turned it finds out by looking, since advance() cannot take the
  // waiter's own mutex without knowing in which order the code under test takes it.
  while (!done() && now() < deadline) changed.wait_for(lock, std::chrono::milliseconds(1));
  const bool result = done();
  remove_waiter(self);
  return result;
}

std::multiset<os::SteadyTime>::iterator FakeClock::add_waiter(os::SteadyTime deadline) {
  const std::scoped_lock lock(mutex_);
  waiters_changed_.notify_all();
  return waiters_.insert(deadline);
}

void FakeClock::remove_waiter(std::multiset<os::SteadyTime>::iterator waiter) {
  const std::scoped_lock lock(mutex_);
  waiters_.erase(waiter);
}

std::unique_ptr<os::Timer> FakeClock::make_timer() { return std::make_unique<FakeTimer>(*this); }

void FakeClock::advance(std::chrono::nanoseconds by) {
  const std::scoped_lock lock(mutex_);
  move(std::chrono::duration_cast<os::SteadyTime::duration>(by));
}

bool FakeClock::end_next_wait(std::chrono::nanoseconds within) {
  const std::scoped_lock lock(mutex_);
  if (waiters_.empty()) return false;
  const auto left = *waiters_.begin() - now_;
  if (left.count() <= 0 || left > within) return false;
  move(left);
  return true;
}

void FakeClock::move(os::SteadyTime::duration by) {
  now_ += by;
  wall_ += std::chrono::duration_cast<os::WallTime::duration>(by);
  for (FakeTimer* timer : timers_) timer->fire_if_due();
}

void FakeClock::set_wall(os::WallTime to) {
  const std::scoped_lock lock(mutex_);
  wall_ = to;
}

std::size_t FakeClock::deadlines() const {
  return waiters_.size() + static_cast<std::size_t>(std::ranges::count_if(
                               timers_, [](const FakeTimer* timer) { return timer->deadline().has_value(); }));
}

bool FakeClock::wait_ends_before(os::SteadyTime moment) const {
  return !waiters_.empty() && *waiters_.begin() <= moment;
}

bool FakeClock::deadline_before(os::SteadyTime moment) const {
  return wait_ends_before(moment) || std::ranges::any_of(timers_, [&](const FakeTimer* timer) {
           return timer->deadline() && *timer->deadline() <= moment;
         });
}

std::optional<os::SteadyTime> FakeClock::next_deadline() const {
  const std::scoped_lock lock(mutex_);
  std::optional<os::SteadyTime> next;
  if (!waiters_.empty()) next = *waiters_.begin();
  for (const FakeTimer* timer : timers_) {
    if (timer->deadline() && (!next || *timer->deadline() < *next)) next = timer->deadline();
  }
  return next;
}

void FakeClock::await_waiters(std::size_t count) {
  std::unique_lock lock(mutex_);
  waiters_changed_.wait(lock, [&] { return deadlines() >= count; });
}

bool FakeClock::has_waiters(std::size_t count) {
  const std::scoped_lock lock(mutex_);
  return deadlines() >= count;
}

void FakeClock::await_deadline_within(std::chrono::nanoseconds within) {
  std::unique_lock lock(mutex_);
  const auto moment = now_ + std::chrono::duration_cast<os::SteadyTime::duration>(within);
  waiters_changed_.wait(lock, [&] { return deadline_before(moment); });
}

void FakeClock::await_pause_within(std::chrono::nanoseconds within) {
  std::unique_lock lock(mutex_);
  const auto moment = now_ + std::chrono::duration_cast<os::SteadyTime::duration>(within);
  waiters_changed_.wait(lock, [&] { return wait_ends_before(moment); });
}

}  // namespace dstack::test
