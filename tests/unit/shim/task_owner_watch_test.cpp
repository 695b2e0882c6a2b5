#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <thread>

#include "shim/task/owner_watch.h"
#include "tests/support/fake_clock.h"

using namespace dstack;
using namespace dstack::shim::task;
using namespace std::chrono_literals;

namespace {

// A watch whose file is held or not; what it says is judged by the clock.
struct Watched {
  test::FakeClock clock;
  std::atomic<bool> held = true;
  std::atomic<int> looks = 0;
  std::atomic<int> gone = 0;
  std::atomic<bool> too_early = false;
  os::SteadyTime last_held = clock.now();  // on the watch's thread
  OwnerWatch watch{[this](const std::filesystem::path&) {
                     const bool answer = held;
                     if (answer) last_held = clock.now();
                     ++looks;
                     return answer;
                   },
                   [this](const std::string&) {
                     if (clock.now() - last_held < OwnerWatch::kPatience) too_early = true;
                     ++gone;
                   },
                   clock};

  template <typename Condition>
  void turn_until(Condition condition) {
    while (!condition()) {
      clock.advance(1s);
      std::this_thread::yield();
    }
  }
  void look(int times) {
    turn_until([this, target = looks + times] { return looks >= target; });
  }
};

}  // namespace

TEST_CASE_METHOD(Watched, "a file that is held keeps its task for ever") {
  watch.watch("1", "/file");
  look(200);
  CHECK(gone == 0);
}

TEST_CASE_METHOD(Watched, "a minute after the last lock the task's owner is gone, and not before") {
  watch.watch("1", "/file");
  look(2);
  for (int i = 0; i < 20; ++i) {
    held = false;
    turn_until([this, before = gone.load()] { return gone > before; });
    held = true;
    look(2);
  }
  CHECK_FALSE(too_early);
}

TEST_CASE_METHOD(Watched, "a task that was forgotten is not looked at any more") {
  watch.watch("1", "/file");
  look(1);
  watch.forget("1");
  held = false;
  clock.advance(600s);
  watch.watch("2", "/file");
  held = true;
  look(5);
  CHECK(gone == 0);
}
