#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "common/error.h"
#include "shim/client/task_filter.h"
#include "shim/client/task_format.h"
#include "tests/support/fake_clock.h"

using namespace dstack;
using namespace dstack::shim::client;

namespace {

TaskEntry entry(std::string id, std::string name, std::string image, std::string status) {
  TaskEntry task;
  task.id = std::move(id);
  task.name = std::move(name);
  task.image = std::move(image);
  task.status = std::move(status);
  return task;
}

const TaskEntry kWeb = entry("aa11", "web", "reg:5000/nginx:1", "running");
const TaskEntry kJob = entry("ab22", "job", "nginx", "terminated");

bool matches(const std::vector<std::string>& filters, const TaskEntry& task) {
  return TaskFilter(filters).matches(task);
}

std::string formatted(std::string_view format) {
  const test::FakeClock clock;
  return TaskFormat(format).text({kWeb, kJob}, clock);
}

}  // namespace

TEST_CASE("filters of one key are alternatives, those of several must all match") {
  CHECK(matches({}, kWeb));
  CHECK(matches({"id=aa"}, kWeb));
  CHECK_FALSE(matches({"id=a1"}, kWeb));
  CHECK(matches({"name=we"}, kWeb));
  CHECK(matches({"image=reg:5000/nginx"}, kWeb));
  CHECK(matches({"ancestor=reg:5000/nginx:1"}, kWeb));
  CHECK_FALSE(matches({"image=nginx"}, kWeb));
  CHECK(matches({"status=exited"}, kJob));
  CHECK(matches({"status=running", "status=terminated"}, kJob));
  CHECK_FALSE(matches({"status=running", "name=job"}, kJob));
  CHECK(matches({"local=true"}, kJob));
  CHECK_FALSE(matches({"exited=0"}, kJob));
  TaskEntry ended = kJob;
  ended.exit_status = 3;
  CHECK(matches({"exited=0", "exited=3"}, ended));
  CHECK_FALSE(matches({"exited=0"}, ended));
  CHECK_FALSE(matches({"local=false"}, kJob));
}

TEST_CASE("an unknown filter is refused by name") {
  for (const char* filter : {"colour=red", "status", "status=asleep", "local=perhaps", "exited=badly", "exited="}) {
    CHECK_THROWS_WITH(TaskFilter({filter}), Catch::Matchers::ContainsSubstring(filter));
  }
}

TEST_CASE("a format prints the fields of each task") {
  CHECK(formatted("{{.ID}}\\t{{ .Names }}!") == "aa11\tweb!\nab22\tjob!\n");
  CHECK(formatted("{{json .Status}}") == "\"running\"\n\"terminated\"\n");
  CHECK(formatted("table {{.Name}}\t{{.Image}}") == "NAME   IMAGE\nweb    reg:5000/nginx:1\njob    nginx\n");
  const std::string json = formatted("json");
  CHECK(json.starts_with("{"));
  CHECK(json.contains("\"name\":\"web\""));
  CHECK(std::ranges::count(json, '\n') == 2);
  CHECK(formatted("plain") == "plain\nplain\n");
}

TEST_CASE("a format with anything else in it is refused") {
  for (const char* format : {"{{.Nothing}}", "{{.ID", "{{len .ID}}", "{{range .}}"}) {
    CHECK_THROWS_AS(TaskFormat(format), Error);
  }
}
