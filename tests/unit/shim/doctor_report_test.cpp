#include <future>
#include <nlohmann/json.hpp>
#include <set>

#include "common/error.h"
#include "shim/doctor/report.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/shim/doctor_test.h"

namespace dstack::shim::doctor {

using namespace std::chrono_literals;

namespace {

Examination mixed() {
  return {.results = {{"disk", ok("20 GiB free")},
                      {"clock", warning("not kept", "keep it")},
                      {"docker", broken("no answer at \"x\"", "start it")}}};
}

}  // namespace

TEST_CASE("a person reads a line for each check, and beneath how to fix it") {
  CHECK(as_text(mixed(), false) ==
        "ok       disk    20 GiB free\n"
        "warning  clock   not kept\n"
        "                 → keep it\n"
        "broken   docker  no answer at \"x\"\n"
        "                 → start it\n");
}

TEST_CASE("colours change the look and nothing else") {
  std::string text = as_text(mixed(), true);
  CHECK(text.starts_with("\033[32mok     \033[0m  disk"));
  for (const char* code : {"\033[31m", "\033[32m", "\033[33m", "\033[0m"}) {
    for (std::size_t at = text.find(code); at != std::string::npos; at = text.find(code))
      text.erase(at, std::string_view(code).size());
  }
  CHECK(text == as_text(mixed(), false));
}

TEST_CASE("a program reads the same findings") {
  const auto report = nlohmann::json::parse(as_json(mixed()));
  CHECK(report["broken"] == 1);
  CHECK(report["warnings"] == 1);
  CHECK(report["checks"][0] ==
        nlohmann::json{{"name", "disk"}, {"verdict", "ok"}, {"found", "20 GiB free"}, {"remedy", nullptr}});
  CHECK(report["checks"][2]["remedy"] == "start it");
}

TEST_CASE("what engines and tools say moves no terminal's cursor") {
  const Examination odd{.results = {{"docker", broken("said \x1b[2J\"no\"\nok  gpu  fine",
                                                      "type\r\xc2\x9b"
                                                      "2J")}}};
  CHECK(as_text(odd, false) ==
        "broken   docker  said \\x1b[2J\"no\"\\nok  gpu  fine\n"
        "                 → type\\x0d\\u009b2J\n");
  CHECK_FALSE(as_json(odd).contains("\xc2\x9b"));
}

TEST_CASE("bytes that are no text do not break the JSON") {
  const Examination odd{.results = {{"gpu", broken("said \xff\xfe", "")}}};
  CHECK(nlohmann::json::parse(as_json(odd))["checks"].size() == 1);
}

TEST_CASE("a warning alone is not broken") {
  CHECK(mixed().is_broken());
  CHECK_FALSE(Examination{.results = {{"clock", warning("w", "r")}}}.is_broken());
}

TEST_CASE("results are in the order of the checks, and an error in one is a finding") {
  const std::vector<Check> checks{
      {"first", [](const Host&) { return ok("1"); }},
      {"second", [](const Host&) -> Finding { throw Error(ErrorKind::denied, "open /x: Permission denied"); }},
      {"third", [](const Host&) { return ok("3"); }}};
  const Examination examination = examine(checks, {});
  REQUIRE(examination.results.size() == 3);
  CHECK(examination.results[0].finding == ok("1"));
  CHECK(examination.results[1].finding.verdict == Verdict::warning);
  CHECK(examination.results[1].finding.found == "unknown: open /x: Permission denied");
  CHECK(examination.results[2].check == "third");
  CHECK_FALSE(examination.unfinished);
}

TEST_CASE("a check that hangs is broken after a while, and nobody waits for it") {
  test::FakeClock clock;
  const auto gate = std::make_shared<std::promise<void>>();
  const std::shared_future<void> opened = gate->get_future().share();
  const std::vector<Check> checks{{"stuck", [opened](const Host&) {
                                     opened.wait();
                                     return ok("late");
                                   }}};
  Host host;
  host.clock = &clock;
  auto result = std::async(std::launch::async, [&] { return examine(checks, host, 30s); });
  clock.await_waiters();
  clock.advance(30s);
  const Examination examination = result.get();
  gate->set_value();
  CHECK(examination.unfinished);
  CHECK(examination.results[0].finding.verdict == Verdict::broken);
  CHECK(examination.results[0].finding.found == "no answer within 30 s");
}

TEST_CASE("every check has a name of its own") {
  std::set<std::string> names;
  for (const Check& check : all_checks()) names.insert(check.name);
  CHECK(names.size() == all_checks().size());
}

}  // namespace dstack::shim::doctor
