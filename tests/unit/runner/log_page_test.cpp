#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/text/base64.h"
#include "runner/logs/page.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using runner::Page;
using runner::Piece;

namespace {

Piece piece(std::string text) { return {.text = text, .text_size = static_cast<std::uint32_t>(text.size())}; }

nlohmann::json answer(const Page& page) {
  std::string text;
  page.write(
      [&text](std::string_view part) {
        text += part;
        return true;
      },
      7);
  return nlohmann::json::parse(text);
}

struct Fixture {
  test::TemporaryDirectory folder;
  runner::EventLog job{folder.path(), "job", nullptr};
  runner::EventLog runner_log{folder.path(), "runner", nullptr};
  std::vector<runner::StampedState> states;

  void add_job(std::int64_t time, std::size_t size) {
    REQUIRE(job.add(time, std::vector{piece(std::string(size, 'j'))}));
  }
  void add_runner(std::int64_t time, std::size_t size) {
    REQUIRE(runner_log.add(time, std::vector{piece(std::string(size, 'r'))}));
  }
  Page page(std::int64_t latest, std::int64_t after, std::uint64_t limit, bool complete = false) const {
    return Page({.job = job,
                 .job_count = job.count(),
                 .runner = runner_log,
                 .runner_count = runner_log.count(),
                 .states = states,
                 .latest = latest,
                 .complete = complete},
                after, limit);
  }
};

}  // namespace

TEST_CASE("base64 pads like everybody's") {
  const std::pair<std::string, std::string> cases[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"\xff\xfe\xfd", "//79"},
                                                       {"foobar", "Zm9vYmFy"}};
  for (const auto& [data, expected] : cases) {
    std::string text;
    text::append_base64(text, data);
    CHECK(text == expected);
  }
}

TEST_CASE("a page has the fields that a server reads") {
  Fixture logs;
  logs.states.push_back(
      {.time = 5,
       .state = {.state = "failed", .termination_reason = "r", .termination_message = "m", .exit_status = 3}});
  REQUIRE(logs.job.add(6, std::vector{piece("foo")}));
  REQUIRE(logs.runner_log.add(7, std::vector{piece("f")}));
  CHECK(answer(logs.page(8, 0, 1000)) ==
        nlohmann::json::parse(
            R"({"job_states":[{"state":"failed","timestamp":5,"termination_reason":"r","termination_message":"m",
          "exit_status":3}],"job_logs":[{"timestamp":6,"message":"Zm9v"}],"runner_logs":[{"timestamp":7,"message":"Zg=="}],
          "last_updated":8,"no_connections_secs":7,"has_more":true})"));
}

TEST_CASE("a page holds only what is later than what was asked for") {
  Fixture logs;
  logs.add_job(5, 1);
  logs.add_job(5, 1);
  logs.add_job(6, 1);
  logs.add_runner(5, 1);
  logs.states.push_back({.time = 5, .state = {.state = "running"}});
  const nlohmann::json page = answer(logs.page(6, 5, 1000));
  CHECK(page["job_logs"].size() == 1);
  CHECK(page["runner_logs"].empty());
  CHECK(page["job_states"].empty());
  CHECK(logs.page(6, 6, 1000).empty());
}

TEST_CASE("a page that would be too large ends between two moments, in all its lists") {
  Fixture logs;
  for (std::int64_t time = 10; time < 20; ++time) {
    logs.add_job(time, 100);
    logs.add_job(time, 100);
    logs.add_runner(time, 50);
    logs.states.push_back({.time = time, .state = {.state = "running"}});
  }
  // A moment is 2 × (100 + 64) + 50 + 64 = 442.
  std::int64_t after = 0;
  for (int pages = 1; pages <= 4; ++pages) {
    const Page page = logs.page(30, after, 3 * 442, true);
    const nlohmann::json json = answer(page);
    const std::size_t moments = pages < 4 ? 3 : 1;
    CHECK(json["job_logs"].size() == 2 * moments);
    CHECK(json["runner_logs"].size() == moments);
    CHECK(json["job_states"].size() == moments);
    CHECK(json["has_more"] == (pages < 4));
    CHECK(page.last() == (pages == 4));
    after = json["last_updated"].get<std::int64_t>();
    CHECK(after >= json["job_logs"].back()["timestamp"].get<std::int64_t>());
  }
  CHECK(after == 30);
}

TEST_CASE("a moment that is larger than a page is a page") {
  Fixture logs;
  for (int i = 0; i < 10; ++i) logs.add_job(10, 100);
  logs.add_job(11, 100);
  const nlohmann::json page = answer(logs.page(11, 0, 300));
  CHECK(page["job_logs"].size() == 10);
  CHECK(page["last_updated"] == 10);
  CHECK(answer(logs.page(11, 10, 300))["job_logs"].size() == 1);
}

TEST_CASE("a page of nothing is complete") {
  const Fixture logs;
  const Page page = logs.page(9, 0, 300, true);
  CHECK(page.empty());
  CHECK(page.last());
  CHECK(answer(page)["last_updated"] == 9);
}
