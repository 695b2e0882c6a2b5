#include "shim/client/task_table.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>
#include <sstream>

#include "shim/client/age.h"
#include "shim/client/text.h"
#include "tests/support/fake_clock.h"

namespace dstack::shim::client {

namespace {

using namespace std::chrono_literals;

std::int64_t now(const os::Clock& clock) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(clock.wall().time_since_epoch()).count();
}

TaskEntry task(const os::Clock& clock, std::chrono::seconds age) {
  TaskEntry task;
  task.id = "0f3a9c1e-4b2d-4c55-9d57-0242ac120002";
  task.name = "train";
  task.image = "registry.example/team/pytorch:2.1";
  task.status = "running";
  task.gpu_ids = {"GPU-1", "GPU-2"};
  task.submitted_at = now(clock) - std::chrono::milliseconds(age).count();
  return task;
}

std::vector<std::string> lines(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

}  // namespace

TEST_CASE("without a terminal a table is whole, in columns, the latest first") {
  const test::FakeClock clock;
  TaskEntry old = task(clock, 3 * 24h);
  old.id = "1";
  old.name = "a";
  old.status = "terminated";
  old.gpu_ids.clear();
  CHECK(task_table({old, task(clock, 5min)}, std::nullopt, clock) ==
        "ID                                    NAME   IMAGE                              STATUS      AGE  GPUS\n"
        "0f3a9c1e-4b2d-4c55-9d57-0242ac120002  train  registry.example/team/pytorch:2.1  running     5m   2\n"
        "1                                     a      registry.example/team/pytorch:2.1  terminated  3d   0\n");
}

TEST_CASE("no task is a line of headings") {
  CHECK(task_table({}, std::nullopt, test::FakeClock()) == "ID  NAME  IMAGE  STATUS  AGE  GPUS\n");
  CHECK(task_list({}, test::FakeClock()).dump() == "[]");
}

TEST_CASE("on a wide terminal ids are short and the rest is whole") {
  const test::FakeClock clock;
  CHECK(lines(task_table({task(clock, 45s)}, 200, clock)).at(1) ==
        "0f3a9c1e  train  registry.example/team/pytorch:2.1  running  45s  2");
}

TEST_CASE("on a narrow terminal images lose their beginning and names their end") {
  const test::FakeClock clock;
  TaskEntry wide = task(clock, 45s);
  wide.name = "a-rather-long-name";
  CHECK(lines(task_table({wide}, 66, clock)).at(1) ==
        "0f3a9c1e  a-rather-long-name  …eam/pytorch:2.1  running  45s  2");
  CHECK(lines(task_table({wide}, 48, clock)).at(1) == "0f3a9c1e  a-rathe…  …rch:2.1  running  45s  2");
}

TEST_CASE("no line is wider than the terminal, however narrow") {
  const test::FakeClock clock;
  for (std::size_t width = 1; width < 100; ++width) {
    for (const std::string& line : lines(task_table({task(clock, 45s)}, width, clock))) {
      CHECK(columns(line) <= width);
    }
  }
}

TEST_CASE("foreign text cannot move a cursor, break a line or shift a column") {
  const test::FakeClock clock;
  TaskEntry foreign = task(clock, 1s);
  foreign.image =
      "a\nb\x1b[2J\xc2\x9b"
      "31m\xff";
  foreign.name = "näme";
  const auto table = lines(task_table({foreign}, std::nullopt, clock));
  REQUIRE(table.size() == 2);
  CHECK(table[1] == R"(0f3a9c1e-4b2d-4c55-9d57-0242ac120002  näme  a\nb\x1b[2J\u009b31m\xff  running  1s   2)");
  CHECK(table[0].find("IMAGE") == table[1].find("a\\n") - 1);
}

TEST_CASE("a pull says how far it has come, and what is not known is a dash") {
  const test::FakeClock clock;
  TaskEntry pulling = task(clock, 0s);
  pulling.status = "pulling";
  pulling.pull = PullView{.downloaded = 30, .total = 120, .total_is_final = false};
  pulling.submitted_at.reset();
  pulling.image = "";
  CHECK(lines(task_table({pulling}, 100, clock)).at(1) == "0f3a9c1e  train  -      pulling 25%  -    2");
}

TEST_CASE("an age grows with the clock, in whole units, and never below nothing") {
  test::FakeClock clock;
  const std::int64_t since = now(clock);
  const auto age = [&] { return age_text(seconds_since(since, clock)); };
  CHECK(age() == "0s");
  clock.advance(59s);
  CHECK(age() == "59s");
  clock.advance(1s);
  CHECK(age() == "1m");
  clock.advance(59min);
  CHECK(age() == "1h");
  clock.advance(22h + 59min + 59s);
  CHECK(age() == "23h");
  clock.advance(1s);
  CHECK(age() == "1d");
  clock.advance(24h * 400);
  CHECK(age() == "401d");
  clock.set_wall(os::WallTime{});
  CHECK(age() == "0s");
}

TEST_CASE("a list for programs has stable names") {
  const test::FakeClock clock;
  TaskEntry server = task(clock, 90s);
  server.local = false;
  CHECK(task_list({server}, clock) == nlohmann::json::parse(R"([{
    "id": "0f3a9c1e-4b2d-4c55-9d57-0242ac120002", "name": "train", "image": "registry.example/team/pytorch:2.1",
    "status": "running", "submitted_at": "2027-01-15T07:58:30Z", "age_seconds": 90, "gpus": ["GPU-1", "GPU-2"],
    "local": false, "termination_reason": "", "termination_message": "", "container_name": "", "container_id": ""}])"));
  server.submitted_at.reset();
  CHECK(task_list({server}, clock)[0]["submitted_at"].is_null());
  CHECK(task_list({server}, clock)[0]["age_seconds"].is_null());
}

TEST_CASE("text is shortened by characters, with an ellipsis in its place") {
  CHECK(shortened("abc", 3, Keep::beginning) == "abc");
  CHECK(shortened("abcd", 3, Keep::beginning) == "ab…");
  CHECK(shortened("abcd", 3, Keep::end) == "…cd");
  CHECK(shortened("äöüß", 3, Keep::beginning) == "äö…");
  CHECK(shortened("äöüß", 3, Keep::end) == "…üß");
  CHECK(shortened("ab", 1, Keep::end) == "…");
  CHECK(shortened("ab", 0, Keep::end).empty());
}

}  // namespace dstack::shim::client
