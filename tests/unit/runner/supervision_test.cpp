#include "runner/job/supervision.h"

#include <poll.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <csignal>
#include <functional>
#include <future>
#include <thread>

#include "common/os/reaper.h"
#include "common/os/signals.h"
#include "runner/job/process_tree.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/runner/running_job.h"

namespace dstack::runner::job {

namespace {

using namespace std::chrono_literals;
using Cause = Ended::Cause;

// A job and its supervision on a thread of their own, as the executor has them; this thread is the main one, which
// reaps.
class Supervised {
 public:
  Supervised(
      const std::string& script, os::Clock& clock, std::optional<std::chrono::seconds> max_duration = std::nullopt,
      std::function<std::vector<ProcessEntry>()> find = [] { return test::everything_below(); }) {
    os::adopt_orphans();
    thread_ = std::thread([this, script, &clock, max_duration, find] {
      test::RunningJob job(script);
      {
        const std::scoped_lock lock(mutex_);
        job_ = &job;
        changed_.notify_all();
      }
      Supervision supervision(job.process, job.terminal,
                              {.stop = stop_.get(), .log_quota = quota_.get(), .children_changed = children_.get()},
                              clock, find);
      ended_ = supervision.watch(max_duration);
      output_ = job.rest();
      test::raise(over_);
    });
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return job_ != nullptr; });
  }
  Supervised(const Supervised&) = delete;
  Supervised& operator=(const Supervised&) = delete;
  ~Supervised() { finish(); }

  void await(std::string_view text) { job_->output.await(text); }
  void stop() { test::raise(stop_); }
  void exceed_quota() { test::raise(quota_); }

  // Reaps orphans until the supervision is over; how it ended.
  Ended finish() {
    while (thread_.joinable()) {
      pollfd waiting[] = {{.fd = signals_.get(), .events = POLLIN, .revents = 0},
                          {.fd = over_.get(), .events = POLLIN, .revents = 0}};
      ::poll(waiting, 2, -1);
      if (waiting[0].revents != 0) {
        os::next_signal(signals_);
        if (os::reap_orphans()) test::raise(children_);
      }
      if (waiting[1].revents != 0) thread_.join();
    }
    os::reap_orphans();
    return ended_;
  }

  const std::string& output() const { return output_; }

 private:
  const os::UniqueFd signals_ = os::block_and_watch({SIGCHLD});
  const os::UniqueFd stop_ = test::make_event();
  const os::UniqueFd quota_ = test::make_event();
  const os::UniqueFd children_ = test::make_event();
  const os::UniqueFd over_ = test::make_event();
  std::mutex mutex_;
  std::condition_variable changed_;
  test::RunningJob* job_ = nullptr;
  Ended ended_;
  std::string output_;
  std::thread thread_;
};

bool nothing_left() { return test::everything_below().empty(); }

// Ignores an interrupt and a hang-up, and says when they come.
constexpr const char* kStubborn =
    "trap 'echo INT' INT; trap 'echo HUP' HUP; echo ready; while :; do sleep 1000 & wait $!; kill $!; done";

}  // namespace

TEST_CASE("a job's own end is its exit status") {
  Supervised job("exit 4", os::system_clock());
  const Ended ended = job.finish();
  CHECK(ended.cause == Cause::by_itself);
  CHECK(ended.exit.code == 4);
  CHECK(nothing_left());
}

TEST_CASE("a stop begins with an interrupt") {
  Supervised job("trap 'echo bye; exit 0' INT; echo ready; while :; do sleep 0.01; done", os::system_clock());
  job.await("ready");
  job.stop();
  CHECK(job.finish().cause == Cause::stopped);
  CHECK(job.output().ends_with("bye\r\n"));
}

TEST_CASE("a job that ignores an interrupt is hung up after 5 s and killed 5 s later") {
  test::FakeClock clock;
  Supervised job(kStubborn, clock);
  job.await("ready");
  job.stop();
  job.await("INT");
  clock.await_deadline_within(5s);
  clock.advance(4999ms);
  clock.await_deadline_within(1ms);
  clock.advance(1ms);
  job.await("HUP");
  clock.await_deadline_within(5s);
  clock.advance(5s);
  const Ended ended = job.finish();
  CHECK(ended.cause == Cause::stopped);
  CHECK(ended.exit.signal == SIGKILL);
  CHECK(nothing_left());
}

TEST_CASE("the end of the maximum duration stops a job in the same stages") {
  test::FakeClock clock;
  Supervised job(kStubborn, clock, 60s);
  job.await("ready");
  clock.await_deadline_within(60s);
  clock.advance(60s);
  job.await("INT");
  clock.await_deadline_within(5s);
  clock.advance(5s);
  job.await("HUP");
  clock.await_deadline_within(5s);
  clock.advance(5s);
  CHECK(job.finish().cause == Cause::max_duration);
}

TEST_CASE("a maximum duration of 60 days is longer than milliseconds in 32 bits count") {
  test::FakeClock clock;
  const os::SteadyTime begin = clock.now();
  constexpr auto day = std::chrono::hours(24);
  Supervised job(kStubborn, clock, 60 * day);
  job.await("ready");
  clock.await_deadline_within(60 * day);
  CHECK(clock.next_deadline() == begin + 60 * day);
  clock.advance(50 * day);
  CHECK(clock.next_deadline() == begin + 60 * day);
  clock.advance(10 * day);
  job.await("INT");
  clock.await_deadline_within(5s);
  clock.advance(5s);
  job.await("HUP");
  clock.await_deadline_within(5s);
  clock.advance(5s);
  CHECK(job.finish().cause == Cause::max_duration);
}

// A suspended host is one of these: its monotonic clock stands still, and after the resume the wall clock is ahead.
TEST_CASE("a wall clock that jumps neither stops a job nor delays its stop") {
  test::FakeClock clock;
  const os::SteadyTime begin = clock.now();
  const auto jump = GENERATE(std::chrono::hours(24 * 365), -std::chrono::hours(24 * 365));
  Supervised job(kStubborn, clock, 60s);
  job.await("ready");
  clock.await_deadline_within(60s);
  clock.set_wall(clock.wall() + jump);
  CHECK(clock.next_deadline() == begin + 60s);
  clock.advance(60s);
  job.await("INT");
  clock.await_deadline_within(5s);
  clock.set_wall(clock.wall() - 2 * jump);
  CHECK(clock.next_deadline() == begin + 65s);
  clock.advance(5s);
  job.await("HUP");
  clock.await_deadline_within(5s);
  clock.advance(5s);
  CHECK(job.finish().cause == Cause::max_duration);
}

TEST_CASE("a hang-up wakes a stopped process") {
  test::FakeClock clock;
  Supervised job("trap 'echo HUP; exit 0' HUP; trap '' INT; echo ready; kill -STOP $$; while :; do sleep 0.01; done",
                 clock);
  job.await("ready");
  job.stop();
  clock.await_deadline_within(5s);
  clock.advance(5s);
  job.finish();
  CHECK(job.output().contains("HUP"));
}

TEST_CASE("an exceeded log quota kills at once") {
  Supervised job(kStubborn, os::system_clock());
  job.await("ready");
  job.exceed_quota();
  const Ended ended = job.finish();
  CHECK(ended.cause == Cause::log_quota);
  CHECK(ended.exit.signal == SIGKILL);
  CHECK(nothing_left());
}

TEST_CASE("whatever a job leaves behind is killed after its end") {
  const std::string script = GENERATE(
      "sleep 1000 & exit 0",                                                      // in the background
      "trap '' HUP INT TERM; sleep 1000 & exit 0",                                // deaf to a hang-up
      "trap '' HUP; setsid sleep 1000 & exit 0",                                  // in a session of its own
      "trap '' HUP; sh -c 'setsid sh -c \"sleep 1000 & sleep 1000\" &'; exit 0",  // an orphan with a child
      "setsid sh -c 'kill -STOP $$; sleep 1000' & sleep 0.05; exit 0",            // stopped
      "trap '' HUP; setsid sh -c 'while :; do setsid sleep 1000 & sleep 0.001; done' & exit 0");  // starting more
  Supervised job(script, os::system_clock());
  CHECK(job.finish().exit.code == 0);
  CHECK(nothing_left());
}

TEST_CASE("a pipe's reader may write its last words after its writer's end") {
  // The leader's end hangs up its foreground group; what ignores that has a while, which does not pass here.
  test::FakeClock clock;
  Supervised job("trap '' HUP; (sleep 0.05; echo last words) & exit 0", clock);
  job.await("last words");
  auto ended = std::async(std::launch::async, [&job] { return job.finish(); });
  clock.advance_until_ready(ended);
  CHECK(ended.get().exit.code == 0);
}

TEST_CASE("a thousand children are gone with their parent") {
  Supervised job("trap '' HUP; i=0; while [ $i -lt 1000 ]; do sleep 1000 & i=$((i+1)); done; exit 0",
                 os::system_clock());
  job.finish();
  CHECK(nothing_left());
}

TEST_CASE("a process that does not go although it was killed is waited for until 10.8 s after the end") {
  test::FakeClock clock;
  constexpr pid_t nobody = 4194305;  // above the largest number the kernel gives
  Supervised job("exit 6", clock, std::nullopt, [] {
    return std::vector<ProcessEntry>{{.pid = nobody, .parent = 1, .session = nobody, .state = 'D'}};
  });
  clock.await_deadline_within(20ms);
  clock.advance(200ms);
  clock.await_deadline_within(20ms);
  clock.advance(10599ms);
  clock.await_deadline_within(20ms);
  clock.advance(1ms);
  clock.await_deadline_within(20ms);
  clock.advance(20ms);
  CHECK(job.finish().exit.code == 6);
}

TEST_CASE("what is left of a stopped job's session still gets its hang-up") {
  test::FakeClock clock;
  // The leader goes at the interrupt; its child ignores it, and the hang-up that comes with the leader's end is not its
  // foreground group's.
  Supervised job(
      "sh -c 'trap \"\" INT; trap \"echo late; exit 0\" HUP; trap \"echo early; exit 0\" TERM; echo ready; "
      "while :; do sleep 0.01; done' & wait",
      clock);
  job.await("ready");
  job.stop();
  job.finish();
  CHECK(job.output().contains("late"));
  CHECK_FALSE(job.output().contains("early"));
}

TEST_CASE("processes that are no part of the job live on") {
  os::adopt_orphans();
  test::RunningJob server("exec sleep 1000");
  const pid_t server_pid = server.process.pid();
  const os::UniqueFd stop = test::make_event();
  const os::UniqueFd quota = test::make_event();
  const os::UniqueFd children = test::make_event();
  test::RunningJob job("sleep 1000 & exit 0");
  Supervision supervision(job.process, job.terminal,
                          {.stop = stop.get(), .log_quota = quota.get(), .children_changed = children.get()},
                          os::system_clock(), [server_pid] { return test::everything_below({server_pid}); });
  supervision.watch(std::nullopt);
  CHECK(::kill(server_pid, 0) == 0);
}

}  // namespace dstack::runner::job
