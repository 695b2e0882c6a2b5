#include "shim/client/text.h"

#include <catch2/catch_test_macros.hpp>

using namespace dstack::shim::client;

TEST_CASE("why a task ended is told line by line, and moves no cursor") {
  TaskEntry task{.termination_reason = "container_exited_with_error"};
  CHECK(ending_of(task) == "container_exited_with_error");
  task.termination_message = "pull \"app:1\": denied";
  CHECK(ending_of(task) == "container_exited_with_error: pull \"app:1\": denied");
  task.termination_message = "The container exited with status 1\r\n\x1b[2Jlast\n\u202eword\n";
  CHECK(ending_of(task) ==
        "container_exited_with_error: The container exited with status 1\n  \\x1b[2Jlast\n  \\u202eword");
}
