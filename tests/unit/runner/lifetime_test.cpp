#include "runner/lifetime.h"

#include <sys/eventfd.h>
#include <unistd.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <csignal>
#include <future>

#include "common/error.h"
#include "common/os/signals.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_directory.h"

namespace dstack::runner {

namespace {

using namespace std::chrono_literals;

// A runner without its API.
class Living {
 public:
  Living() = default;
  Living(const Living&) = delete;
  Living& operator=(const Living&) = delete;
  ~Living() {
    if (done_.valid()) {
      ::kill(::getpid(), SIGTERM);
      done_.wait();
    }
  }

  // Lets wait() run on another thread, as the test turns the clock.
  Living& live() {
    done_ = std::async(std::launch::async, [this] { lifetime.wait(); });
    return *this;
  }
  // Returns when wait() has returned; throws what it threw.
  void end() { done_.get(); }
  // Some deadline is armed and lies at most that far ahead.
  void pass(std::chrono::seconds time) {
    clock.await_deadline_within(time);
    clock.advance(time);
  }
  void pull() {
    const http::Response response = logs.pull(0, 0);
    response.stream([](std::string_view) { return true; });
  }

  const os::UniqueFd signals = os::block_and_watch({SIGCHLD, SIGTERM});
  test::TemporaryDirectory folder;
  test::FakeClock clock;
  Logs logs{folder.path(), clock};
  job::Executor executor{folder.path(), {}, logs, clock};
  Lifetime lifetime{signals, executor, logs, clock};

 private:
  std::future<void> done_;
};

}  // namespace

TEST_CASE("a runner that nobody talks to gives up after 5 minutes") {
  Living runner;
  runner.live().clock.await_deadline_within(5min);
  runner.clock.advance(5min - 1s);
  runner.pass(1s);
  CHECK_THROWS_MATCHES(runner.end(), Error, Catch::Matchers::Message("no job submitted"));
}

TEST_CASE("a request begins the 5 minutes anew") {
  Living runner;
  runner.live().clock.await_deadline_within(5min);
  runner.clock.advance(4min);
  runner.lifetime.request_seen();
  runner.pass(1min);
  // The first deadline has passed and a later one is waited for.
  runner.pass(4min);
  CHECK_THROWS_AS(runner.end(), Error);
}

TEST_CASE("a job that is over and never asked for is forgotten after 5 minutes") {
  Living runner;
  runner.executor.stop();
  runner.live().pass(5min);
  runner.end();
}

TEST_CASE("a runner leaves as soon as its logs were read") {
  Living runner;
  runner.executor.stop();
  runner.live().pull();
  runner.end();
}

TEST_CASE("a runner whose logs nobody will read leaves when its job is over") {
  Living runner;
  runner.executor.submit({.unattended = true});
  runner.executor.stop();
  runner.live().end();
}

TEST_CASE("a runner without a job leaves at a signal") {
  Living runner;
  runner.live();
  ::kill(::getpid(), SIGTERM);
  runner.end();
}

}  // namespace dstack::runner
