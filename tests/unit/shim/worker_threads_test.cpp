#include "shim/task/worker_threads.h"

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <latch>
#include <memory>
#include <stdexcept>

#include "common/error.h"
#include "common/os/thread.h"
#include "tests/support/fake_clock.h"
#include "tests/support/no_more_threads.h"

namespace dstack::shim::task {

TEST_CASE("a job that no thread can be made for is done when there can be one, in its order") {
  if (!test::NoMoreThreads::possible()) SKIP("a sanitizer's threads need room of their own");
  test::FakeClock clock;
  WorkerThreads threads(clock);
  std::atomic<int> done = 0;
  auto limit = std::make_unique<test::NoMoreThreads>();
  threads.run([&done] { ++done; });
  threads.run([&done] { ++done; });
  clock.await_deadline_within(std::chrono::seconds(1));
  CHECK(done == 0);
  clock.advance(std::chrono::seconds(1));
  // It is tried, in vain, and waits again.
  clock.await_deadline_within(std::chrono::seconds(1));
  CHECK(done == 0);
  limit.reset();
  clock.advance(std::chrono::seconds(1));
  while (done != 2) std::this_thread::yield();
  threads.run([&done] { ++done; });
  threads.finish();
  CHECK(done == 3);
}

TEST_CASE("a second after the last job has ended it is said once that all is quiet") {
  test::FakeClock clock;
  std::atomic<int> quiet = 0;
  WorkerThreads threads(clock, [&quiet] { ++quiet; });
  clock.await_deadline_within(std::chrono::seconds(1));
  clock.advance(std::chrono::seconds(1));
  while (quiet != 1) std::this_thread::yield();

  std::latch release(1);
  threads.run([&release] { release.wait(); });
  CHECK_FALSE(clock.has_waiters());
  release.count_down();
  clock.await_deadline_within(std::chrono::seconds(1));
  // Another job puts it off.
  threads.run([] {});
  clock.advance(std::chrono::seconds(1));
  CHECK(quiet == 1);
  while (quiet != 2) {
    if (!clock.end_next_wait(std::chrono::seconds(1))) std::this_thread::yield();
  }
}

TEST_CASE("what a job throws ends nothing but the job") {
  WorkerThreads threads;
  std::atomic<bool> done = false;
  threads.run([] { throw std::runtime_error("it broke"); });
  threads.run([&done] { done = true; });
  threads.finish();
  CHECK(done);
}

TEST_CASE("a thread that cannot be made is an error of its own kind") {
  if (!test::NoMoreThreads::possible()) SKIP("a sanitizer's threads need room of their own");
  const test::NoMoreThreads limit;
  try {
    os::start_thread("do something", [] {}).join();
    FAIL("there was a thread");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::exhausted);
    CHECK(std::string(error.what()) == "start a thread to do something: Resource temporarily unavailable");
  }
}

}  // namespace dstack::shim::task
