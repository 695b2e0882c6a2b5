#include "shim/client/find_task.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "common/error.h"

namespace dstack::shim::client {

namespace {

TaskEntry task(std::string id, std::string name) {
  TaskEntry task;
  task.id = std::move(id);
  task.name = std::move(name);
  task.status = "running";
  return task;
}

const std::vector<TaskEntry> tasks{task("0123456789ab", "train"), task("01234567cdef", "serve"), task("01", "train"),
                                   task("feed0000", "0123")};

ErrorKind refusal(std::string_view wanted) {
  try {
    find_task(tasks, wanted);
  } catch (const Error& error) {
    return error.kind();
  }
  FAIL("found");
  return ErrorKind::internal;
}

}  // namespace

TEST_CASE("a task is found by its id, its name or the beginning of its id") {
  CHECK(find_task(tasks, "0123456789ab").id == "0123456789ab");
  CHECK(find_task(tasks, "serve").id == "01234567cdef");
  CHECK(find_task(tasks, "fe").id == "feed0000");
  CHECK(find_task(tasks, "01234567c").id == "01234567cdef");
}

TEST_CASE("a whole id goes before the beginning of another, and a name too") {
  CHECK(find_task(tasks, "01").id == "01");
  CHECK(find_task(tasks, "0123").id == "feed0000");
}

TEST_CASE("what several tasks share is refused, and they are listed") {
  CHECK(refusal("train") == ErrorKind::conflict);
  CHECK(refusal("01234567") == ErrorKind::conflict);
  CHECK_THROWS_MATCHES(find_task(tasks, "train"), Error,
                       Catch::Matchers::MessageMatches(Catch::Matchers::ContainsSubstring("0123456789ab  train") &&
                                                       Catch::Matchers::ContainsSubstring("01  train")));
}

TEST_CASE("a list of what is shared has an end") {
  std::vector<TaskEntry> many;
  for (int i = 0; i < 40; ++i) many.push_back(task("same-" + std::to_string(i), "n" + std::to_string(i)));
  try {
    find_task(many, "same");
    FAIL("found");
  } catch (const Error& error) {
    const std::string text = error.what();
    CHECK(std::ranges::count(text, '\n') == 11);
    CHECK(text.contains("40 tasks"));
  }
}

TEST_CASE("what no task is called is not found, nor is nothing") {
  CHECK(refusal("other") == ErrorKind::not_found);
  CHECK(refusal("rain") == ErrorKind::not_found);
  CHECK(refusal("") == ErrorKind::not_found);
}

TEST_CASE("an id is shortened to eight characters, or to what tells it from the others") {
  CHECK(short_length(tasks, "0123456789ab") == 9);
  CHECK(short_length(tasks, "01234567cdef") == 9);
  CHECK(short_length(tasks, "01") == 2);
  CHECK(short_length({task("0123456789ab", "train")}, "0123456789ab") == 8);
}

}  // namespace dstack::shim::client
