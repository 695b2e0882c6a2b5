#include "shim/ci/life.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <string>
#include <vector>

#include "tests/support/fake_clock.h"

namespace dstack::shim::ci {

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using Kind = AgentEvent::Kind;
using Calls = std::vector<std::string>;

namespace {

// What a life asks for, in order.
class Recorder final : public Life::Actions {
 public:
  // Since the last time.
  Calls take() { return std::exchange(calls_, {}); }

  void prepare() override { calls_.emplace_back("prepare"); }
  void register_runner() override { calls_.emplace_back("register"); }
  void give_up() override { calls_.emplace_back("give up"); }
  void start_agent() override { calls_.emplace_back("start"); }
  void withdraw_runner() override { calls_.emplace_back("withdraw"); }
  void finish_agent() override { calls_.emplace_back("finish"); }
  void stop_agent() override { calls_.emplace_back("stop"); }
  void kill_agent() override { calls_.emplace_back("kill"); }
  void remove_runner() override { calls_.emplace_back("remove"); }
  void look_at_runner() override { calls_.emplace_back("look"); }
  void rerun(const std::string& job) override { calls_.push_back("rerun " + job); }
  void clean_up() override { calls_.emplace_back("clean"); }
  void report_ready() override { calls_.emplace_back("ready"); }
  void report_started(const std::string& job) override { calls_.push_back("started " + job); }
  void report_ended(const AgentEvent& end) override { calls_.push_back("ended " + end.job + " " + end.result); }
  void report_terminated(const std::string& reason) override { calls_.push_back("terminated " + reason); }
  void inform(const std::string& message) override { said.push_back(message); }
  void warn(const std::string& message) override { said.push_back(message); }
  void fail(const std::string& message) override { failure = message; }

  std::vector<std::string> said;
  std::string failure;

 private:
  Calls calls_;
};

AgentEvent started(const std::string& job) { return {.kind = Kind::job_started, .job = job}; }
AgentEvent ended(const std::string& job, const std::string& result = "success", bool lost = false) {
  return {.kind = Kind::job_ended, .job = job, .result = result, .seconds = 1, .lost = lost};
}

// GitHub's agent.
constexpr AgentManners kOneJob{
    .one_job = true, .reports_connection = true, .start_limit = 120s, .withdraw_limit = 30s, .stop_limit = 30s};

struct Running {
  explicit Running(LifeSettings settings = {.name = "r", .idle = 300s}, AgentManners agent = {})
      : life(std::move(settings), actions, clock) {
    life.start();
    life.prepared(agent);
    life.registered("7");
    life.agent_said({.kind = agent.reports_connection ? Kind::connected : Kind::alive});
    actions.take();
  }

  // Turns the clock, and calls as often as a launcher would.
  void pass(std::chrono::seconds time) {
    const os::SteadyTime end = clock.now() + time;
    for (auto next = life.deadline(); next && *next <= end; next = life.deadline()) {
      if (*next > clock.now()) clock.advance(*next - clock.now());
      life.time_passed();
    }
    if (end > clock.now()) clock.advance(end - clock.now());
  }
  void end_agent_and_clean() {
    life.agent_ended("exited with status 0");
    life.removed();
    life.cleaned_up();
  }

  test::FakeClock clock;
  Recorder actions;
  Life life;
};

}  // namespace

TEST_CASE("a launcher prepares, registers, starts the agent and is ready once") {
  test::FakeClock clock;
  Recorder actions;
  Life life({.name = "r", .idle = 300s}, actions, clock);
  life.start();
  life.prepared();
  life.registered("7");
  CHECK(actions.take() == Calls{"prepare", "register", "start"});
  life.agent_said({.kind = Kind::alive});
  life.agent_said({.kind = Kind::alive});
  CHECK(actions.take() == Calls{"ready"});
}

TEST_CASE("an agent that says nothing is ready two seconds later") {
  test::FakeClock clock;
  Recorder actions;
  Life life({.name = "r", .idle = 300s}, actions, clock);
  life.start();
  life.prepared();
  life.registered("7");
  REQUIRE(life.deadline() == clock.now() + 2s);
  clock.advance(2s);
  life.time_passed();
  CHECK(actions.take() == Calls{"prepare", "register", "start", "ready"});
}

TEST_CASE("an idle launcher pauses the runner, lets the agent end, removes the runner and cleans up") {
  Running running;
  running.life.seen(Sight::listed);
  running.pass(299s);
  CHECK(running.actions.take().empty());
  running.pass(1s);
  CHECK(running.actions.take() == Calls{"withdraw"});
  running.life.withdrawn(Removal::removed);
  running.life.agent_ended("exited with status 0");
  CHECK(running.actions.take() == Calls{"finish", "remove"});
  running.life.removed();
  CHECK_FALSE(running.life.exit_status());
  running.life.cleaned_up();
  CHECK(running.actions.take() == Calls{"clean", "terminated idle"});
  CHECK(running.life.exit_status() == 0);
}

TEST_CASE("idle time is not counted while a job runs, and begins anew when it has ended") {
  Running running;
  running.pass(200s);
  running.life.agent_said(started("1"));
  running.pass(24h);
  running.life.agent_said(ended("1"));
  Calls calls = running.actions.take();
  std::erase(calls, "look");
  CHECK(calls == Calls{"started 1", "ended 1 success"});
  running.pass(299s);
  running.actions.take();
  running.pass(1s);
  CHECK(running.actions.take() == Calls{"withdraw"});
}

TEST_CASE("without an idle time it waits for ever") {
  Running running({.name = "r", .idle = std::nullopt});
  for (int day = 0; day < 30; ++day) {
    running.pass(24h);
    running.life.seen(Sight::listed);
  }
  CHECK_FALSE(running.life.exit_status());
  CHECK_FALSE(std::ranges::contains(running.actions.take(), "withdraw"));
}

TEST_CASE("a job that comes while the launcher leaves is finished") {
  Running running;
  running.pass(300s);
  running.life.agent_said(started("1"));
  running.life.withdrawn(Removal::removed);
  running.actions.take();
  running.pass(24h);
  CHECK(running.actions.take().empty());
  running.life.agent_said(ended("1"));
  running.end_agent_and_clean();
  CHECK(running.actions.take() == Calls{"ended 1 success", "remove", "clean", "terminated idle"});
  CHECK(running.life.exit_status() == 0);
}

TEST_CASE("a pause that hangs or fails does not keep the launcher from leaving") {
  Running running;
  running.pass(300s);
  running.actions.take();
  running.pass(10s);
  CHECK(running.actions.take() == Calls{"finish"});
}

TEST_CASE("a CI that lets no runner go while a job has just come makes the idle time begin anew") {
  Running running;
  running.pass(300s);
  running.life.agent_said(started("1"));
  running.life.withdrawn(Removal::busy);
  running.life.agent_said(ended("1"));
  running.actions.take();
  running.pass(299s);
  CHECK_FALSE(std::ranges::contains(running.actions.take(), "withdraw"));
  running.pass(1s);
  CHECK(running.actions.take() == Calls{"withdraw"});
}

TEST_CASE("an agent that does not end without a job is stopped, then killed") {
  Running running;
  running.pass(300s);
  running.life.withdrawn(Removal::removed);
  running.actions.take();
  running.pass(60s);
  CHECK(running.actions.take() == Calls{"stop"});
  running.pass(20s);
  CHECK(running.actions.take() == Calls{"kill"});
  running.life.agent_ended("was killed by signal 9");
  CHECK(running.actions.take() == Calls{"remove"});
}

TEST_CASE("a first signal waits for the running job however long it takes") {
  Running running;
  running.life.agent_said(started("1"));
  running.life.signal("SIGTERM");
  running.life.withdrawn(Removal::removed);
  running.actions.take();
  running.pass(24h * 7);
  CHECK(running.actions.take().empty());
  running.life.agent_said(ended("1", "failed"));
  running.end_agent_and_clean();
  CHECK(running.actions.take() == Calls{"ended 1 failed", "remove", "clean", "terminated signal"});
  CHECK(running.life.exit_status() == 0);
}

TEST_CASE("a second signal stops the job, and just that job is run again") {
  Running running;
  running.life.agent_said(started("1"));
  running.life.signal("SIGTERM");
  running.life.withdrawn(Removal::removed);
  running.actions.take();
  running.life.signal("SIGTERM");
  CHECK(running.actions.take() == Calls{"stop"});
  running.life.agent_said(ended("1", "failed", true));
  running.life.agent_ended("exited with status 0");
  CHECK(running.actions.take() == Calls{"ended 1 failed", "rerun 1", "remove"});
  running.life.removed();
  running.life.cleaned_up();
  CHECK_FALSE(running.life.exit_status());
  running.life.reran("1", RerunResult::started, "");
  CHECK(running.life.exit_status() == 0);
}

TEST_CASE("a job whose script has ended by itself is not run again") {
  Running running;
  running.life.agent_said(started("1"));
  running.life.hurry("the machine is about to be shut down");
  running.actions.take();
  SECTION("well") { running.life.agent_said(ended("1")); }
  SECTION("badly") { running.life.agent_said(ended("1", "failed", false)); }
  running.end_agent_and_clean();
  CHECK_FALSE(std::ranges::contains(running.actions.take(), "rerun 1"));
  CHECK(running.life.exit_status() == 0);
}

TEST_CASE("with --no-retry a job that was cut off is not run again") {
  Running running({.name = "r", .idle = 300s, .single = false, .rerun_lost_jobs = false});
  running.life.agent_said(started("1"));
  running.life.hurry("the machine is about to be shut down");
  running.life.agent_said(ended("1", "failed", true));
  running.end_agent_and_clean();
  CHECK_FALSE(std::ranges::contains(running.actions.take(), "rerun 1"));
  CHECK(running.life.exit_status() == 0);
}

TEST_CASE("a job that the CI does not run again yet is tried for five minutes") {
  Running running;
  running.life.agent_said(started("1"));
  running.life.hurry("the machine is about to be shut down");
  running.life.agent_said(ended("1", "failed", true));
  running.end_agent_and_clean();
  int tries = 0;
  while (!running.life.exit_status() && tries < 1000) {
    REQUIRE(std::ranges::contains(running.actions.take(), "rerun 1"));
    running.life.reran("1", RerunResult::too_early, "HTTP 403");
    running.pass(5s);
    ++tries;
  }
  CHECK(tries == 61);
  CHECK(running.life.exit_status() == 0);
  CHECK_THAT(running.actions.said.back(), ContainsSubstring("job 1") && ContainsSubstring("HTTP 403"));
}

TEST_CASE("an agent that does not stop is killed, and the runner is removed, within 40 s") {
  Running running;
  running.life.agent_said(started("1"));
  running.life.hurry("the machine is about to be shut down");
  running.actions.take();
  running.pass(39s);
  CHECK(running.actions.take() == Calls{"kill", "ended 1 lost", "rerun 1", "remove"});
}

TEST_CASE("a third signal kills at once and leaves the rest to a later start") {
  Running running;
  running.life.agent_said(started("1"));
  for (int i = 0; i < 3; ++i) running.life.signal("SIGINT");
  CHECK(running.life.was_killed());
  CHECK(running.life.exit_status() == 1);
  CHECK_THAT(running.actions.failure, ContainsSubstring("runner r (7) is still listed"));
  CHECK_FALSE(std::ranges::contains(running.actions.take(), "clean"));
}

TEST_CASE("a signal while it prepares ends the launcher without a runner") {
  test::FakeClock clock;
  Recorder actions;
  Life life({.name = "r", .idle = 300s}, actions, clock);
  life.start();
  SECTION("during the checks") {
    life.signal("SIGTERM");
    life.failed("cancelled");
    life.cleaned_up();
    CHECK(actions.take() == Calls{"prepare", "give up", "clean", "terminated signal"});
  }
  SECTION("while the runner is made") {
    life.prepared();
    life.signal("SIGTERM");
    life.failed("cancelled");
    life.removed();
    life.cleaned_up();
    CHECK(actions.take() == Calls{"prepare", "register", "give up", "remove", "clean", "terminated signal"});
  }
  CHECK(life.exit_status() == 0);
}

TEST_CASE("with --single it ends after one job, whatever its result") {
  Running running({.name = "r", .idle = 300s, .single = true});
  running.life.agent_said(started("1"));
  running.life.agent_said(ended("1", "failed"));
  running.end_agent_and_clean();
  CHECK(running.actions.take() == Calls{"started 1", "ended 1 failed", "remove", "clean", "terminated single"});
  CHECK(running.life.exit_status() == 0);
}

TEST_CASE("another runner that does ends the launcher at once") {
  test::FakeClock clock;
  Recorder actions;
  Life life({.name = "r", .idle = 300s}, actions, clock);
  life.start();
  life.found_another();
  life.cleaned_up();
  CHECK(actions.take() == Calls{"prepare", "clean", "terminated reuse"});
  CHECK(life.exit_status() == 0);
}

TEST_CASE("a failing check ends the launcher with its message last") {
  test::FakeClock clock;
  Recorder actions;
  Life life({.name = "r", .idle = 300s}, actions, clock);
  life.start();
  life.failed("HTTP 401: 401 Unauthorized");
  life.cleaned_up();
  CHECK(actions.take() == Calls{"prepare", "clean"});
  CHECK(actions.failure == "HTTP 401: 401 Unauthorized");
  CHECK(life.exit_status() == 1);
}

TEST_CASE("a refused registration is not looked for in the list") {
  test::FakeClock clock;
  Recorder actions;
  Life life({.name = "r", .idle = 300s}, actions, clock);
  life.start();
  life.prepared();
  SECTION("refused") {
    life.failed("HTTP 403", true);
    CHECK(actions.take() == Calls{"prepare", "register", "clean"});
  }
  SECTION("its answer was lost") {
    life.failed("connection reset");
    CHECK(actions.take() == Calls{"prepare", "register", "remove"});
    life.not_removed("connection reset", false);
    life.cleaned_up();
    CHECK_THAT(actions.failure, ContainsSubstring("connection reset; runner r could not be removed"));
  }
}

TEST_CASE("an agent that ends for no reason is replaced with a new runner, three times a minute is too often") {
  Running running;
  for (int i = 0; i < 2; ++i) {
    running.life.agent_ended("exited with status 1");
    CHECK(running.actions.take() == Calls{"remove"});
    running.life.removed();
    CHECK(running.actions.take() == Calls{"register"});
    running.life.registered("8");
    CHECK(running.actions.take() == Calls{"start"});
  }
  SECTION("within a minute") {
    running.life.agent_ended("exited with status 1");
    running.life.removed();
    running.life.cleaned_up();
    CHECK(running.life.exit_status() == 1);
    CHECK(running.actions.failure == "the agent exited with status 1, 3 times within a minute");
  }
  SECTION("later") {
    running.pass(61s);
    running.life.agent_ended("exited with status 1");
    running.life.removed();
    CHECK(std::ranges::contains(running.actions.take(), "register"));
    CHECK_FALSE(running.life.exit_status());
  }
}

TEST_CASE("an agent that dies with a job loses it: the job is run again by another") {
  Running running;
  running.life.agent_said(started("1"));
  running.actions.take();
  running.life.agent_ended("was killed by signal 9");
  CHECK(running.actions.take() == Calls{"ended 1 lost", "rerun 1", "remove"});
  running.life.reran("1", RerunResult::started, "");
  running.life.removed();
  CHECK(running.actions.take() == Calls{"register"});
}

TEST_CASE("an own shim that ends takes the agent with it, and all begins anew") {
  Running running;
  running.life.shim_ended("was killed by signal 9");
  CHECK(running.actions.take() == Calls{"stop"});
  running.life.agent_ended("exited with status 0");
  running.life.removed();
  CHECK(running.actions.take() == Calls{"remove", "register"});
}

TEST_CASE("idle time is not counted while the CI cannot be reached") {
  Running running;
  running.pass(100s);
  running.life.agent_said({.kind = Kind::unreachable});
  running.pass(0s);
  CHECK(running.actions.take() == Calls{"look"});
  for (int i = 0; i < 100; ++i) {
    running.life.seen(Sight::unreachable);
    running.pass(60s);
    CHECK(running.actions.take() == Calls{"look"});
  }
  running.life.seen(Sight::listed);
  CHECK(running.actions.take().empty());
  running.pass(199s);
  CHECK(running.actions.take().empty());
  running.pass(1s);
  CHECK(running.actions.take() == Calls{"withdraw"});
}

TEST_CASE("the CI counts as reached when the agent has complained of nothing for ten seconds") {
  Running running;
  running.life.agent_said({.kind = Kind::unreachable});
  running.pass(0s);
  running.life.seen(Sight::listed);
  running.actions.take();
  running.pass(9s);
  CHECK(running.actions.take().empty());
  running.pass(1s);
  CHECK(running.actions.take() == Calls{"look"});
  running.life.seen(Sight::listed);
  running.pass(299s);
  CHECK_FALSE(std::ranges::contains(running.actions.take(), "withdraw"));
  running.pass(1s);
  CHECK(std::ranges::contains(running.actions.take(), "withdraw"));
}

TEST_CASE("the runner is looked for every five minutes, and one that was removed ends the launcher") {
  Running running({.name = "r", .idle = std::nullopt});
  running.pass(299s);
  CHECK(running.actions.take().empty());
  running.pass(1s);
  CHECK(running.actions.take() == Calls{"look"});
  SECTION("without a job at once") {
    running.life.seen(Sight::gone);
    running.life.withdrawn(Removal::removed);
  }
  SECTION("with a job when that has ended") {
    running.life.agent_said(started("1"));
    running.life.seen(Sight::gone);
    CHECK(running.actions.take() == Calls{"started 1"});
    running.life.agent_said(ended("1"));
    running.life.withdrawn(Removal::removed);
  }
  running.end_agent_and_clean();
  CHECK(running.life.exit_status() == 1);
  CHECK(running.actions.failure == "runner r was removed at the CI");
}

TEST_CASE("an agent that the CI refuses is looked into") {
  Running running;
  running.life.agent_said({.kind = Kind::refused});
  running.life.agent_said({.kind = Kind::refused});
  CHECK(running.actions.take() == Calls{"look"});
  SECTION("the runner is gone") {
    running.life.seen(Sight::gone);
    CHECK(running.actions.take() == Calls{"withdraw"});
  }
  SECTION("nobody can tell") {
    running.life.seen(Sight::unreachable);
    CHECK(running.actions.take() == Calls{"withdraw"});
  }
  SECTION("the runner is there: it gets another token") {
    running.life.seen(Sight::listed);
    running.life.agent_ended("exited with status 0");
    running.life.removed();
    CHECK(running.actions.take() == Calls{"stop", "remove", "register"});
  }
}

TEST_CASE("a token that is no longer accepted lets the job end first") {
  Running running;
  running.life.agent_said(started("1"));
  running.pass(300s);
  running.life.seen(Sight::token_refused);
  CHECK_FALSE(std::ranges::contains(running.actions.take(), "withdraw"));
  running.life.agent_said(ended("1"));
  running.life.withdrawn(Removal::removed);
  running.life.agent_ended("exited with status 0");
  running.life.not_removed("HTTP 401", true);
  running.life.cleaned_up();
  CHECK(running.life.exit_status() == 1);
  CHECK(running.actions.failure ==
        "the token is no longer accepted: runner r (7) stays in the list until it is removed by hand");
}

// --- an agent for one job

TEST_CASE("an agent for one job is ready when it says that it listens") {
  test::FakeClock clock;
  Recorder actions;
  Life life({.name = "r", .idle = 300s}, actions, clock);
  life.start();
  life.prepared(kOneJob);
  life.registered("7");
  life.agent_said({.kind = Kind::nothing});
  clock.advance(100s);
  life.time_passed();
  CHECK(actions.take() == Calls{"prepare", "register", "start"});
  SECTION("in time") {
    life.agent_said({.kind = Kind::connected});
    CHECK(actions.take() == Calls{"ready"});
  }
  SECTION("never: it is stopped, and all begins anew") {
    clock.advance(20s);
    life.time_passed();
    CHECK(actions.take() == Calls{"stop"});
    life.agent_ended("exited with status 0");
    CHECK(actions.take() == Calls{"register"});
  }
}

TEST_CASE("after its one job another runner takes an agent's place, and the idle time begins anew") {
  Running running({.name = "r", .idle = 300s}, kOneJob);
  for (const char* id : {"8", "9"}) {
    running.life.agent_said(started("a"));
    running.pass(1h);
    running.life.agent_said(ended("a"));
    running.actions.take();
    running.life.agent_ended("exited with status 0");
    CHECK(running.actions.take() == Calls{"register"});
    running.pass(1h);
    CHECK(running.actions.take().empty());
    running.life.registered(id);
    running.life.agent_said({.kind = Kind::connected});
    CHECK(running.actions.take() == Calls{"start"});
  }
  running.pass(299s);
  CHECK(running.actions.take().empty());
  running.pass(1s);
  CHECK(running.actions.take() == Calls{"withdraw"});
}

TEST_CASE("an agent for one job that has it is not asked to end, which would cancel it") {
  Running running({.name = "r", .idle = 300s}, kOneJob);
  SECTION("the agent has said so") {
    running.life.agent_said(started("a"));
    running.life.signal("SIGTERM");
    running.life.withdrawn(Removal::busy);
  }
  SECTION("the CI knows it first") {
    running.life.signal("SIGTERM");
    running.life.withdrawn(Removal::busy);
    running.life.agent_said(started("a"));
  }
  running.actions.take();
  running.pass(24h);
  CHECK(running.actions.take().empty());
  running.life.agent_said(ended("a"));
  running.end_agent_and_clean();
  CHECK(running.actions.take() == Calls{"ended a success", "remove", "clean", "terminated signal"});
}

TEST_CASE("an idle runner that the CI has removed lets its agent be interrupted") {
  Running running({.name = "r", .idle = 300s}, kOneJob);
  running.pass(300s);
  running.life.withdrawn(Removal::removed);
  CHECK(running.actions.take() == Calls{"withdraw", "finish"});
}

TEST_CASE("a job that an agent gets just before it is interrupted is run again") {
  Running running({.name = "r", .idle = 300s}, kOneJob);
  running.pass(300s);
  running.actions.take();
  running.pass(30s);  // GitHub does not answer
  CHECK(running.actions.take() == Calls{"finish"});
  running.life.agent_said(started("a"));
  running.life.agent_said(ended("a", "cancelled", true));
  CHECK(running.actions.take() == Calls{"started a", "ended a cancelled", "rerun a"});
}

TEST_CASE("a job that a person cancels while the launcher waits for it is not run again") {
  Running running({.name = "r", .idle = 300s}, kOneJob);
  running.life.agent_said(started("a"));
  running.life.signal("SIGTERM");
  running.life.withdrawn(Removal::busy);
  running.life.agent_said(ended("a", "cancelled", true));
  running.end_agent_and_clean();
  CHECK_FALSE(std::ranges::contains(running.actions.take(), "rerun a"));
}

TEST_CASE("a runner that has just got a job when it is idle waits anew") {
  Running running({.name = "r", .idle = 300s}, kOneJob);
  running.pass(300s);
  SECTION("the agent says so later") {
    running.life.withdrawn(Removal::busy);
    running.life.agent_said(started("a"));
    running.life.agent_said(ended("a"));
  }
  SECTION("the job is over already") {
    running.life.agent_said(started("a"));
    running.life.agent_said(ended("a"));
    running.life.withdrawn(Removal::busy);
  }
  running.actions.take();
  running.life.agent_ended("exited with status 0");
  CHECK(running.actions.take() == Calls{"register"});
}

TEST_CASE("a signal while one runner takes another's place ends the launcher") {
  Running running({.name = "r", .idle = 300s}, kOneJob);
  running.life.agent_said(started("a"));
  running.life.agent_said(ended("a"));
  running.actions.take();
  SECTION("before the agent has ended") {
    running.life.signal("SIGTERM");
    running.life.agent_ended("exited with status 0");
    CHECK(running.actions.take() == Calls{"remove"});
  }
  SECTION("while the next is registered") {
    running.life.agent_ended("exited with status 0");
    running.life.signal("SIGTERM");
    running.life.failed("cancelled");
    CHECK(running.actions.take() == Calls{"register", "give up", "remove"});
  }
  running.life.removed();
  running.life.cleaned_up();
  CHECK(running.life.exit_status() == 0);
}

TEST_CASE("an agent that does not exit after its job is stopped, and another takes its place") {
  Running running({.name = "r", .idle = 300s}, kOneJob);
  running.life.agent_said(started("a"));
  running.life.agent_said(ended("a"));
  running.actions.take();
  running.pass(60s);
  CHECK(running.actions.take() == Calls{"stop"});
  running.life.agent_ended("exited with status 0");
  CHECK(running.actions.take() == Calls{"register"});
}

TEST_CASE("a killed agent's runner may stay busy: the next one does not wait for its removal") {
  Running running({.name = "r", .idle = 300s}, kOneJob);
  running.life.agent_said(started("a"));
  running.actions.take();
  running.life.agent_ended("was killed by signal 9");
  CHECK(running.actions.take() == Calls{"ended a lost", "rerun a", "register"});
}

TEST_CASE("the word of the agent that its runner is gone is looked into, also when the agent has ended meanwhile") {
  Running running({.name = "r", .idle = 300s}, kOneJob);
  running.life.agent_said({.kind = Kind::refused});
  running.life.agent_ended("exited with status 0");
  CHECK(running.actions.take() == Calls{"look"});
  SECTION("it is gone") {
    running.life.seen(Sight::gone);
    CHECK(running.actions.take() == Calls{"remove"});
    running.life.removed();
    running.life.cleaned_up();
    CHECK(running.life.exit_status() == 1);
    CHECK(running.actions.failure == "runner r was removed at the CI");
  }
  SECTION("it is there") {
    running.life.seen(Sight::listed);
    CHECK(running.actions.take() == Calls{"register"});
  }
  SECTION("a signal comes first") {
    running.life.signal("SIGTERM");
    CHECK(running.actions.take() == Calls{"remove"});
    running.life.seen(Sight::gone);
    running.life.removed();
    running.life.cleaned_up();
    CHECK(running.life.exit_status() == 0);
  }
}

TEST_CASE("a runner that is gone while its job ends was not removed by anyone") {
  Running running({.name = "r", .idle = std::nullopt}, kOneJob);
  running.life.agent_said(started("a"));
  running.pass(300s);
  running.life.seen(Sight::gone);
  CHECK(running.actions.take() == Calls{"started a", "look"});
  running.life.agent_said(ended("a"));
  running.life.agent_ended("exited with status 0");
  CHECK(running.actions.take() == Calls{"ended a success", "register"});
}

TEST_CASE("an agent that reports its connection is believed: a look does not count") {
  Running running({.name = "r", .idle = 300s}, kOneJob);
  running.life.agent_said({.kind = Kind::unreachable});
  running.pass(1h);
  running.life.seen(Sight::listed);
  running.pass(1h);
  running.life.seen(Sight::listed);
  CHECK_FALSE(std::ranges::contains(running.actions.take(), "withdraw"));
  running.life.agent_said({.kind = Kind::connected});
  running.pass(300s);
  CHECK(std::ranges::contains(running.actions.take(), "withdraw"));
}

TEST_CASE("a lost job is asked for during an hour while the launcher lives, then for five minutes") {
  test::FakeClock clock;
  LostJobs lost(clock);
  lost.add("a");
  int tries = 0;
  const auto pass = [&](std::chrono::seconds time) {
    for (const os::SteadyTime end = clock.now() + time; lost.next() && *lost.next() <= end;) {
      if (*lost.next() > clock.now()) clock.advance(*lost.next() - clock.now());
      tries += static_cast<int>(lost.take_due().size());
      lost.settle("a", RerunResult::too_early);
    }
  };
  SECTION("it lives") {
    pass(2h);
    CHECK(tries == 60 + 56);
    CHECK(lost.empty());
  }
  SECTION("it leaves after half an hour") {
    pass(30min);
    const int before = tries;
    lost.hurry();
    pass(10min);
    CHECK(tries - before == 60);
    CHECK(lost.empty());
  }
}

}  // namespace dstack::shim::ci
