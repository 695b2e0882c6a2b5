#include "runner/lifetime.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <csignal>
#include <future>
#include <thread>

#include "common/error.h"
#include "common/os/signals.h"
#include "runner/logs/job_log.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_directory.h"

namespace dstack::runner {

namespace {

using namespace std::chrono_literals;

job::Submission job_of(const std::string& script) {
  job::Submission submission;
  submission.commands = {"/bin/sh", "-c", script};
  submission.repo_dir = "/";
  submission.repo_data.type = "virtual";
  submission.working_dir = "/";
  return submission;
}

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
    done_ = std::async(std::launch::async, [this] { return lifetime.wait(); });
    return *this;
  }
  // What wait() returns, once it has; throws what it threw.
  int end() { return done_.get(); }
  // Some deadline is armed and lies at most that far ahead.
  void pass(std::chrono::seconds time) {
    clock.await_deadline_within(time);
    clock.advance(time);
  }
  void pull() {
    logs.pull(0, 0)([](std::string_view) { return true; });
  }

  const os::UniqueFd signals = os::block_and_watch({SIGCHLD, SIGTERM});
  test::TemporaryDirectory folder;
  test::FakeClock clock;
  Logs logs{folder.path(), clock};
  job::RunPlaces places() const {
    job::RunPlaces result;
    result.mpi_hostfile = folder / "mpi/hostfile";
    result.authorized_keys = folder / "keys";
    result.profile = {.profile = folder / "profile",
                      .hook = folder / "hook",
                      .variables = folder / "variables",
                      .user = folder / "job_user"};
    return result;
  }
  job::Executor executor{folder.path(), places(), logs};
  Lifetime lifetime{signals, executor, logs, clock};

 private:
  std::future<int> done_;
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
  CHECK(runner.end() == 0);
}

TEST_CASE("a runner leaves as soon as its logs were read") {
  Living runner;
  runner.executor.stop();
  runner.live().pull();
  CHECK(runner.end() == 0);
}

TEST_CASE("a runner whose logs nobody will read leaves when its job is over") {
  Living runner;
  runner.executor.submit({.unattended = true});
  runner.executor.stop();
  runner.live().end();
}

TEST_CASE("a runner that is asked to exits with its job's exit status") {
  for (const bool asked : {false, true}) {
    Living runner;
    job::Submission submission = job_of("exit 3");
    submission.exit_with_job = asked;
    submission.unattended = true;
    runner.executor.submit(std::move(submission));
    runner.executor.run();
    CHECK(runner.live().end() == (asked ? 3 : 0));
  }
}

TEST_CASE("a runner without a job leaves at a signal, with its number") {
  Living runner;
  runner.live();
  ::kill(::getpid(), SIGTERM);
  CHECK(runner.end() == 128 + SIGTERM);
}

TEST_CASE("a runner whose job a signal cut off leaves with the signal's number") {
  Living runner;
  runner.executor.submit(job_of("trap 'exit 0' INT; echo ready; while :; do sleep 0.01; done"));
  runner.executor.run();
  while (runner.logs.job_log().size() == 0) std::this_thread::yield();
  runner.live();
  ::kill(::getpid(), SIGTERM);
  CHECK(runner.end() == 128 + SIGTERM);
}

TEST_CASE("a signal after the job's end changes nothing about the exit status") {
  Living runner;
  runner.executor.submit(job_of("exit 3"));
  runner.executor.run();
  pollfd over{.fd = runner.executor.over_fd(), .events = POLLIN, .revents = 0};
  ::poll(&over, 1, -1);
  runner.live();
  ::kill(::getpid(), SIGTERM);
  CHECK(runner.end() == 0);
}

TEST_CASE("a signal after a stop through the API changes nothing about the exit status") {
  Living runner;
  runner.executor.submit(job_of("exit 0"));
  runner.executor.stop();
  runner.live();
  ::kill(::getpid(), SIGTERM);
  CHECK(runner.end() == 0);
}

}  // namespace dstack::runner
