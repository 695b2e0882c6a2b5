#include "runner/logs/logs.h"

#include <poll.h>

#include <spdlog/sinks/sink.h>
#include <spdlog/spdlog.h>
#include <algorithm>
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <format>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "runner/logs/job_log.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

std::string decode(const std::string& text) {
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string data;
  unsigned bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<unsigned>(alphabet.find(c));
    count += 6;
    if (count < 8) continue;
    count -= 8;
    data.push_back(static_cast<char>(bits >> count & 0xff));
  }
  return data;
}

json pull(runner::Logs& logs, std::int64_t after = 0) {
  std::string text;
  logs.pull(after, std::nullopt)([&text](std::string_view part) {
    text += part;
    return true;
  });
  return json::parse(text);
}

std::string text_of(const json& events) {
  std::string text;
  for (const json& event : events) text += decode(event["message"].get<std::string>());
  return text;
}

bool readable(int descriptor) {
  pollfd waiting{.fd = descriptor, .events = POLLIN, .revents = 0};
  return ::poll(&waiting, 1, 0) == 1;
}

const runner::JobState done{.state = "done", .exit_status = 0};

// Turns the clock, step by step as the text maker waits for it, until the job's text is there.
json pull_until(runner::Logs& logs, test::FakeClock& clock, const std::string& text) {
  while (true) {
    json page = pull(logs);
    if (text_of(page["job_logs"]) == text) return page;
    clock.advance(10ms);
    std::this_thread::yield();
  }
}

}  // namespace

TEST_CASE("a job's output can be pulled while it runs, and its end after it") {
  const test::TemporaryDirectory folder;
  test::FakeClock clock;
  runner::Logs logs(folder.path(), clock);
  logs.add_state({.state = "running"});
  logs.append("one\r\ntwo\r\n");
  json page = pull_until(logs, clock, "one\ntwo\n");
  CHECK(page["has_more"] == true);
  CHECK(page["job_states"][0]["state"] == "running");
  CHECK(page["no_connections_secs"].is_null());
  logs.append("three");
  logs.finish({.state = "failed", .termination_reason = "container_exited_with_error", .exit_status = 2});
  page = pull(logs, page["last_updated"].get<std::int64_t>());
  CHECK(text_of(page["job_logs"]) == "three\n");
  CHECK(page["has_more"] == false);
  CHECK(page["job_states"].size() == 1);
  CHECK(page["job_states"][0]["exit_status"] == 2);
}

TEST_CASE("a job that never ran ends at once") {
  const test::TemporaryDirectory folder;
  test::FakeClock clock;
  runner::Logs logs(folder.path(), clock);
  CHECK(pull(logs)["has_more"] == true);
  logs.finish({.state = "terminated"});
  logs.finish({.state = "failed"});
  const json page = pull(logs);
  CHECK(page["has_more"] == false);
  CHECK(page["job_states"].size() == 1);
  CHECK(page["job_states"][0]["state"] == "terminated");
  CHECK(page["job_states"][0]["exit_status"].is_null());
}

TEST_CASE("a reader that follows last_updated sees every event once, at any rate and in order") {
  const test::TemporaryDirectory folder;
  runner::Logs logs(folder.path());
  constexpr int lines = 200'000;
  std::thread job([&logs] {
    std::string chunk;
    for (int i = 0; i < lines; ++i) {
      chunk += std::to_string(i) + "\r\n";
      if (chunk.size() > 3000) {
        logs.append(chunk);
        chunk.clear();
      }
      if (i % 1000 == 0) logs.add_state({.state = "running " + std::to_string(i)});
    }
    logs.append(chunk);
    logs.finish(done);
  });
  std::string text;
  std::vector<std::string> states;
  std::int64_t after = 0;
  for (bool more = true; more;) {
    const json page = pull(logs, after);
    text += text_of(page["job_logs"]);
    for (const json& state : page["job_states"]) states.push_back(state["state"].get<std::string>());
    for (const json& event : page["job_logs"]) {
      // NOLINTNEXTLINE: a check for each event would drown the others
      if (event["timestamp"].get<std::int64_t>() <= after) FAIL("an event that is not later");
    }
    after = page["last_updated"].get<std::int64_t>();
    more = page["has_more"].get<bool>();
  }
  job.join();
  std::string expected;
  for (int i = 0; i < lines; ++i) expected += std::to_string(i) + "\n";
  CHECK((text == expected));
  REQUIRE(states.size() == lines / 1000 + 1);
  for (int i = 0; i < lines / 1000; ++i)
    CHECK(states[static_cast<std::size_t>(i)] == "running " + std::to_string(i * 1000));
  CHECK(states.back() == "done");
}

TEST_CASE("stamps never go back though the clock is set back an hour") {
  const test::TemporaryDirectory folder;
  test::FakeClock clock;
  runner::Logs logs(folder.path(), clock);
  logs.append("before\r\n");
  const std::int64_t before = pull_until(logs, clock, "before\n")["last_updated"].get<std::int64_t>();
  clock.set_wall(clock.wall() - 1h);
  logs.append("after\r\n");
  logs.finish(done);
  const json page = pull(logs, before);
  CHECK(text_of(page["job_logs"]) == "after\n");
  CHECK(page["last_updated"].get<std::int64_t>() > before);
}

// What a server does: it asks for what is later than the last_updated of the page before.
TEST_CASE("a reader that follows last_updated sees every event once and in order while the clock jumps") {
  const test::TemporaryDirectory folder;
  test::FakeClock clock;
  runner::Logs logs(folder.path(), clock);
  constexpr std::array jumps = {1h, -1h, -48h, 24h * 365, -24h * 365, 1h, -2h};
  std::string text;
  std::vector<std::string> states;
  std::vector<std::int64_t> times;
  std::int64_t after = 0;
  const auto read = [&] {
    const json page = pull(logs, after);
    text += text_of(page["job_logs"]);
    for (const json& state : page["job_states"]) states.push_back(state["state"].get<std::string>());
    for (const json& event : page["job_logs"]) {
      CHECK(event["timestamp"].get<std::int64_t>() > after);
      times.push_back(event["timestamp"].get<std::int64_t>());
    }
    after = page["last_updated"].get<std::int64_t>();
  };
  std::string expected;
  for (std::size_t i = 0; i < jumps.size(); ++i) {
    logs.add_state({.state = "before " + std::to_string(i)});
    logs.append("before " + std::to_string(i) + "\r\n");
    if (i % 2 == 0) read();
    clock.set_wall(clock.wall() + jumps.at(i));
    logs.append("after " + std::to_string(i) + "\r\n");
    expected += std::format("before {0}\nafter {0}\n", i);
    while (text != expected) {
      clock.advance(10ms);
      std::this_thread::yield();
      read();
    }
  }
  logs.finish(done);
  read();
  CHECK(text == expected);
  CHECK(states == std::vector<std::string>{"before 0", "before 1", "before 2", "before 3", "before 4", "before 5",
                                           "before 6", "done"});
  CHECK(std::ranges::is_sorted(times));
}

TEST_CASE("output is found by its time after the clock was set back") {
  const test::TemporaryDirectory folder;
  test::FakeClock clock;
  runner::Stamps stamps(clock);
  runner::JobLog log(folder.path(), stamps);
  const std::int64_t first = stamps.now();
  log.append("before");
  clock.set_wall(clock.wall() - 1h);
  clock.advance(10s);
  log.append("after");
  CHECK(stamps.now() == first + 10'000);
  CHECK(log.position_at(first) == 0);
  CHECK(log.position_at(first + 5'000) == 6);
  CHECK(log.position_at(first + 10'000) == 6);
  CHECK(log.position_at(first + 20'000) == 11);
}

TEST_CASE("past the quota nothing is kept, and who watches hears of it") {
  const test::TemporaryDirectory folder;
  test::FakeClock clock;
  runner::Logs logs(folder.path(), clock);
  logs.set_quota(10);
  CHECK_FALSE(readable(logs.quota_exceeded_fd()));
  logs.append("12345\r\n\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\r\n");
  logs.finish({.state = "failed", .termination_reason = "log_quota_exceeded"});
  CHECK(logs.quota_exceeded());
  CHECK(readable(logs.quota_exceeded_fd()));
  CHECK(text_of(pull(logs)["job_logs"]) == "12345\n\xe2\x82\xac");
}

TEST_CASE("output up to the quota is no offence") {
  const test::TemporaryDirectory folder;
  test::FakeClock clock;
  runner::Logs logs(folder.path(), clock);
  logs.set_quota(6);
  logs.append("12345\r\n");
  logs.finish(done);
  CHECK_FALSE(logs.quota_exceeded());
  CHECK(text_of(pull(logs)["job_logs"]) == "12345\n");
}

TEST_CASE("the runner's own words are events of runner_logs, at most 32 KiB each") {
  const test::TemporaryDirectory folder;
  test::FakeClock clock;
  runner::Logs logs(folder.path(), clock);
  spdlog::logger logger("test", logs.runner_log_sink());
  logs.runner_log_sink()->set_pattern("%l %v");
  logger.info("hello");
  logger.info(std::string(40000, 'x'));
  const json events = pull(logs)["runner_logs"];
  REQUIRE(events.size() == 3);
  CHECK(decode(events[0]["message"].get<std::string>()) == "info hello\n");
  CHECK(decode(events[1]["message"].get<std::string>()).size() == 32768);
  CHECK(text_of(events).size() == 11 + 5 + 40001);
}

TEST_CASE("the logs are drained when a pull has handed over everything and no reader is left") {
  const test::TemporaryDirectory folder;
  test::FakeClock clock;
  runner::Logs logs(folder.path(), clock);
  logs.reader_came();
  logs.append("text\r\n");
  pull(logs);
  CHECK_FALSE(logs.drained());
  CHECK_FALSE(logs.last_handover());
  logs.finish(done);
  CHECK_FALSE(logs.drained());
  const auto went_away = logs.pull(0, std::nullopt);
  went_away([](std::string_view) { return false; });
  logs.reader_left();
  CHECK_FALSE(logs.drained());
  clock.advance(1s);
  const json page = pull(logs);
  CHECK(logs.drained());
  CHECK(readable(logs.drained_fd()));
  CHECK(logs.last_handover() == clock.now());
  clock.advance(1s);
  pull(logs, page["last_updated"].get<std::int64_t>());
  CHECK(logs.last_handover() < clock.now());
}

TEST_CASE("a reader that is still on its way keeps the logs from being drained") {
  const test::TemporaryDirectory folder;
  test::FakeClock clock;
  runner::Logs logs(folder.path(), clock);
  logs.reader_came();
  logs.finish(done);
  pull(logs);
  CHECK_FALSE(logs.drained());
  logs.reader_left();
  CHECK(logs.drained());
}

TEST_CASE("job.log holds the output byte for byte") {
  const test::TemporaryDirectory folder;
  test::FakeClock clock;
  runner::Logs logs(folder.path(), clock);
  const std::string output("\x1b[1mraw\0\xff\r\n", 10);
  logs.append(output);
  logs.finish(done);
  std::stringstream content;
  content << std::ifstream(folder / "job.log", std::ios::binary).rdbuf();
  CHECK(content.str() == output);
}
