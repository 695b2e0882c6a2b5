#pragma once

#include <future>
#include <optional>
#include <set>

#include "common/os/clock.h"

namespace dstack::test {

// A clock that stands still until a test turns it. Waits on it end when their condition becomes true or when
// advance() reaches their deadline, never by the passing of real time.
class FakeClock final : public os::Clock {
 public:
  os::SteadyTime now() const override;
  os::WallTime wall() const override;
  bool wait_until(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, os::SteadyTime deadline,
                  const std::function<bool()>& done) override;
  std::unique_ptr<os::Timer> make_timer() override;

  // Moves both clocks. May be called with any lock held.
  void advance(std::chrono::nanoseconds by);
  // Advances, a tenth of a second at a time, until `result` is there: for what waits more than once.
  template <typename T>
  void advance_until_ready(const std::future<T>& result) {
    while (result.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
      advance(std::chrono::milliseconds(100));
    }
  }
  // Moves them to where the next wait ends, if that is not more than `within` away and no other has yet to notice that
  // it is over; returns whether. Timers, which bound what others do, are no reason to move: so time does not run out
  // on code that works, however slow the machine is.
  bool end_next_wait(std::chrono::nanoseconds within);
  // Sets only the wall clock, as an administrator would.
  void set_wall(os::WallTime to);

  // Blocks until `count` or more waits and armed timers have a deadline: so a test knows that the code under test
  // has got as far as waiting. Real time passes only while that thread still works.
  void await_waiters(std::size_t count = 1);
  // Whether that many wait now.
  bool has_waiters(std::size_t count = 1);
  // The earliest moment that something waits for now.
  std::optional<os::SteadyTime> next_deadline() const;
  // Blocks until something waits for a moment at or before now() + `within`.
  void await_deadline_within(std::chrono::nanoseconds within);
  // The same, but not for timers, which bound what others do: for a pause after a request that may still be under way.
  void await_pause_within(std::chrono::nanoseconds within);

 private:
  class FakeTimer;
  std::multiset<os::SteadyTime>::iterator add_waiter(os::SteadyTime deadline);
  void remove_waiter(std::multiset<os::SteadyTime>::iterator waiter);
  std::size_t deadlines() const;
  bool wait_ends_before(os::SteadyTime moment) const;
  bool deadline_before(os::SteadyTime moment) const;
  void move(os::SteadyTime::duration by);

  mutable std::mutex mutex_;
  std::condition_variable waiters_changed_;
  os::SteadyTime now_{std::chrono::hours(1000)};
  os::WallTime wall_{std::chrono::seconds(1'800'000'000)};
  std::multiset<os::SteadyTime> waiters_;  // deadlines
  std::set<FakeTimer*> timers_;
};

}  // namespace dstack::test
