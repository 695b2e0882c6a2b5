#include "shim/dcgm/health.h"

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>

#include "common/os/command.h"
#include "common/os/file.h"
#include "common/os/signals.h"
#include "shim/dcgm/helper.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::shim::dcgm;
using namespace std::chrono_literals;

namespace {

// Which library the helper finds, and how it behaves.
struct Fixture {
  test::TemporaryDirectory folder;
  HelperProgram helper;

  Fixture() {
    os::ignore_broken_pipes();
    library(4);
    behave("");
    ::setenv("FAKE_DCGM_LOG", (folder / "log").c_str(), 1);
  }
  ~Fixture() {
    for (const char* name : {"LD_LIBRARY_PATH", "FAKE_DCGM", "FAKE_DCGM_LOG"}) ::unsetenv(name);
  }

  static void library(int major) {
    const std::string path = major == 4 ? DSTACK_TEST_DCGM4 : major == 3 ? DSTACK_TEST_DCGM3 : "/nonexistent/x";
    ::setenv("LD_LIBRARY_PATH", std::filesystem::path(path).parent_path().c_str(), 1);
  }
  static void behave(const char* how) { ::setenv("FAKE_DCGM", how, 1); }
  std::vector<std::string> command(const std::string& address = "") const { return helper.command(address); }
  void await_log(const char* text) const {
    while (!log().contains(text)) std::this_thread::yield();
  }
  std::string log() const { return os::try_read_file(folder / "log").value_or(""); }
};

// The first answer that comes; the helper needs a moment to start.
HealthReport first_answer(Health& health) {
  while (true) {
    if (auto report = health.check()) return *std::move(report);
    std::this_thread::yield();
  }
}

constexpr HealthLimits kPatient{.answer = 20s};
// So a wait for an answer differs from one for the next minute.
constexpr HealthLimits kSlowToAnswer{.patience = 1h};

}  // namespace

TEST_CASE_METHOD(Fixture, "healthy GPUs are reported as such, by either version of the library") {
  for (const int major : {4, 3}) {
    INFO(major);
    library(major);
    Health health(command(), os::system_clock(), kPatient);
    CHECK(first_answer(health) == HealthReport{});
  }
  CHECK(log().starts_with("init\nembedded auto\nwatch all\ncheck\ncheck\n"));
}

TEST_CASE_METHOD(Fixture, "incidents are told with what is known of them, those of unknown health are not") {
  for (const int major : {4, 3}) {
    INFO(major);
    library(major);
    behave("fail");
    Health health(command(), os::system_clock(), kPatient);
    const HealthReport report = first_answer(health);
    CHECK(report.overall_health == 20);
    REQUIRE(report.incidents.size() == 2);
    CHECK(report.incidents[0] == Incident{.system = 16,
                                          .health = 20,
                                          .error_message = "Uncorrectable ECC error",
                                          .error_code = 43,
                                          .entity_group_id = 1,
                                          .entity_id = 0});
    CHECK(report.incidents[1].error_message == "A message that is not UTF-8: \xef\xbf\xbd");
  }
}

TEST_CASE_METHOD(Fixture, "more incidents than there is room for are as many as there is room for") {
  behave("overflow");
  Health health(command(), os::system_clock(), kPatient);
  CHECK(first_answer(health).incidents.size() == 1024);
}

TEST_CASE_METHOD(Fixture, "a health that no server understands is none") {
  behave("odd");
  Health health(command(), os::system_clock(), {.answer = 5s});
  while (!log().contains("check\ncheck\n")) CHECK_FALSE(health.check());
  CHECK_FALSE(health.check());
}

TEST_CASE_METHOD(Fixture, "a host engine elsewhere is connected to") {
  {
    Health health(command("gpu-host:5555"), os::system_clock(), kPatient);
    CHECK(first_answer(health) == HealthReport{});
  }
  CHECK(log().contains("connect gpu-host:5555 0\nwatch all\n"));
  Health health(command("/run/nv-hostengine.sock"), os::system_clock(), kPatient);
  CHECK(first_answer(health) == HealthReport{});
  CHECK(log().contains("connect /run/nv-hostengine.sock 1\n"));
}

TEST_CASE_METHOD(Fixture, "whatever keeps the helper from working, there is an answer: none") {
  for (const char* how : {"no-start", "crash-start", "crash-check", "no-check"}) {
    INFO(how);
    behave(how);
    Health health(command(), os::system_clock(), kPatient);
    const bool begins = std::string_view(how).ends_with("start");
    while (!log().contains(begins ? "embedded" : "check\ncheck\n")) CHECK_FALSE(health.check());
    CHECK_FALSE(health.check());
    std::filesystem::remove(folder / "log");
  }
  library(0);
  Health absent(command(), os::system_clock(), kPatient);
  for (int i = 0; i < 100; ++i) CHECK_FALSE(absent.check());
  Health no_program({"/nonexistent/program"});
  CHECK_FALSE(no_program.check());
}

TEST_CASE_METHOD(Fixture, "a library that hangs costs the time it is given and no more") {
  test::FakeClock clock;
  for (const char* how : {"hang-start", "hang-check"}) {
    INFO(how);
    behave(how);
    Health health(command(), clock);
    std::optional<HealthReport> report = HealthReport{};
    await_log("embedded");
    // As long as the process is not known to run, which may be a moment later, no call waits for it.
    std::atomic<bool> waited = false;
    std::jthread caller([&] {
      do report = health.check();
      while (!waited);
    });
    clock.await_deadline_within(3s);
    waited = true;
    clock.advance(3s);
    caller.join();
    CHECK_FALSE(report);
    std::filesystem::remove(folder / "log");
  }
}

TEST_CASE_METHOD(Fixture, "a library that hangs for too long is started again") {
  behave("hang-check");
  // Real time, and little of it: what has no patience just tries again until it works.
  Health health(command(), os::system_clock(),
                {.answer = 1s, .patience = 200ms, .first_pause = 1ms, .longest_pause = 1ms});
  while (!log().contains("check\ncheck\n")) CHECK_FALSE(health.check());
  behave("");
  std::optional<HealthReport> report;
  while (!report) report = health.check();
  CHECK(report->overall_health == 0);
}

TEST_CASE_METHOD(Fixture, "a library that crashed is started again") {
  behave("crash-once");
  Health health(command(), os::system_clock(), {.answer = 1s, .first_pause = 1ms, .longest_pause = 1ms});
  while (!std::filesystem::exists(folder / "log.crashed")) CHECK_FALSE(health.check());
  std::optional<HealthReport> report;
  while (!report) report = health.check();
  CHECK(report->overall_health == 0);
}

TEST_CASE_METHOD(Fixture, "between a failure and the next start there is a pause, longer each time") {
  for (const char* how : {"crash-start", "no-start"}) {
    INFO(how);
    behave(how);
    test::FakeClock clock;
    Health health(command(), clock);
    for (const auto pause : {5s, 10s, 20s}) {
      await_log("embedded");
      std::filesystem::remove(folder / "log");
      clock.await_pause_within(pause);
      clock.advance(pause - 1ms);
      CHECK(log().empty());
      clock.advance(1ms);
    }
    await_log("embedded");
    std::filesystem::remove(folder / "log");
  }
}

TEST_CASE_METHOD(Fixture, "those who ask at the same time get the same answer") {
  behave("once");
  Health health(command(), os::system_clock(), kPatient);
  await_log("watch all\ncheck\n");
  std::vector<std::optional<HealthReport>> reports(8);
  {
    std::vector<std::jthread> callers;
    // The helper may have asked the library before the shim has seen that it runs.
    for (auto& report : reports) callers.emplace_back([&] { report = first_answer(health); });
  }
  int told = 0;
  for (const auto& report : reports) {
    REQUIRE(report);
    told += report->incidents.empty() ? 0 : 1;
  }
  CHECK(told >= 1);
}

TEST_CASE_METHOD(Fixture, "a helper that prints something else is no trouble") {
  behave("garbage");
  Health health(command(), os::system_clock(), kPatient);
  // The noise may stand where an answer should; the next answer comes all the same.
  CHECK(first_answer(health) == HealthReport{});
  CHECK(first_answer(health) == HealthReport{});
}

TEST_CASE_METHOD(Fixture, "a GPU that DCGM reports as lost is told once until it is back, though no caller asks") {
  test::FakeClock clock;
  std::atomic<int> told = 0;
  Health health(command(), clock, kSlowToAnswer,
                [&told](const std::string& uuid) { told += uuid == "GPU-3" ? 1 : 1000; });
  // Returns when the answer of this minute has been read: the next wait is for another minute.
  const auto minutes = [&clock](int count) {
    for (int i = 0; i < count; ++i) {
      clock.await_deadline_within(60s);
      clock.advance(60s);
    }
    clock.await_deadline_within(60s);
  };
  minutes(1);
  CHECK(told == 0);
  std::ofstream(folder / "log.lost") << "";
  minutes(3);
  CHECK(told == 1);
  std::filesystem::remove(folder / "log.lost");
  minutes(2);
  std::ofstream(folder / "log.lost") << "";
  minutes(2);
  CHECK(told == 2);
}

TEST_CASE_METHOD(Fixture, "a GPU that has fallen off the bus is lost, by either version of the library") {
  behave("off-bus");
  for (const int major : {4, 3}) {
    INFO(major);
    library(major);
    std::promise<std::string> lost;
    Health health(command(), os::system_clock(), kPatient, [&lost](const std::string& uuid) { lost.set_value(uuid); });
    CHECK(first_answer(health).incidents.size() == 2);
    CHECK(lost.get_future().get() == "GPU-3");
  }
}

TEST_CASE_METHOD(Fixture, "an incident that was seen while no caller asked is in the next answer") {
  behave("once");
  test::FakeClock clock;
  Health health(command(), clock, kSlowToAnswer);
  for (int i = 0; i < 3; ++i) {
    clock.await_deadline_within(60s);
    clock.advance(60s);
  }
  clock.await_deadline_within(60s);
  const auto report = health.check();
  REQUIRE(report);
  REQUIRE(report->incidents.size() == 1);
  CHECK(report->incidents.front().error_message == "told once");
}

TEST_CASE("reports are merged without repeats, up to a limit") {
  const HealthReport first{.overall_health = 20, .incidents = {{.health = 20, .error_message = "a"}}};
  const HealthReport merged =
      merge(first, {.overall_health = 10,
                    .incidents = {{.health = 20, .error_message = "a"}, {.health = 10, .error_message = "b"}}});
  CHECK(merged.overall_health == 20);
  REQUIRE(merged.incidents.size() == 2);
  CHECK(merged.incidents[1].error_message == "b");
  HealthReport many;
  for (int i = 0; i < 3000; ++i) many = merge(many, {.incidents = {{.entity_id = i}}});
  CHECK(many.incidents.size() == 1024);
  CHECK(many.incidents.back().entity_id == 2999);
}

TEST_CASE_METHOD(Fixture, "the helper ends with its input") {
  const auto result = os::run_command({.arguments = command(), .input = "\n\n"});
  CHECK(result.exit_status == 0);
  CHECK(result.output ==
        "{\"health\":{\"incidents\":[],\"overall_health\":0},\"lost\":[]}\n"
        "{\"health\":{\"incidents\":[],\"overall_health\":0},\"lost\":[]}\n");
}

TEST_CASE_METHOD(Fixture, "the helper says why it cannot work") {
  library(0);
  auto result = os::run_command({.arguments = command()});
  CHECK(result.exit_status == 1);
  CHECK(nlohmann::json::parse(result.output)["error"] == "neither libdcgm.so.4 nor libdcgm.so.3 is installed");
  library(4);
  behave("no-start");
  result = os::run_command({.arguments = command()});
  CHECK(nlohmann::json::parse(result.output)["error"] == "start DCGM's host engine: Host engine is not running (-25)");
}

TEST_CASE("a report survives its way through JSON") {
  const HealthReport report{
      .overall_health = 10,
      .incidents = {
          {.system = 1, .health = 10, .error_message = "x", .error_code = 2, .entity_group_id = 3, .entity_id = 4}}};
  CHECK(parse_report(to_json(report)) == report);
  CHECK_FALSE(parse_report(nlohmann::json::object()));
  CHECK_FALSE(parse_report(nlohmann::json::array()));
  CHECK_FALSE(parse_report({{"overall_health", "x"}, {"incidents", nlohmann::json::array()}}));
  for (const nlohmann::json& number : {nlohmann::json(1e72), nlohmann::json(0.5), nlohmann::json(INT64_MAX)})
    CHECK_FALSE(parse_report({{"overall_health", number}, {"incidents", nlohmann::json::array()}}));
  CHECK_FALSE(parse_report({{"overall_health", 0}, {"incidents", {{{"system", 1}}}}}));
}

TEST_CASE("a server gets nothing that it would refuse") {
  CHECK(for_server({.overall_health = 0}));
  CHECK(for_server({.overall_health = 20, .incidents = {{.health = 10}, {.health = 11}}})->incidents.size() == 1);
  for (const int health : {-1, 1, 15, 30}) CHECK_FALSE(for_server({.overall_health = health}));
}
