#include "shim/task/task.h"

#include <array>
#include <catch2/catch_test_macros.hpp>

#include "common/error.h"

using namespace dstack;
using namespace dstack::shim::task;

TEST_CASE("a container's name ends in the first eight digits of a digest of name and id") {
  // printf 'job/1' | sha256sum
  CHECK(container_name("job", "1") == "job-cf3e4537");
}

TEST_CASE("a task moves on step by step, and from anywhere to its end") {
  using enum TaskStatus;
  constexpr std::array order{pending, preparing, pulling, creating, running, terminated};
  for (std::size_t from = 0; from < order.size(); ++from) {
    for (std::size_t to = 0; to < order.size(); ++to) {
      const bool allowed = from + 1 == to || (order[to] == terminated && order[from] != terminated);
      CHECK(may_become(order[from], order[to]) == allowed);
    }
  }
}

TEST_CASE("a step that does not exist is refused and changes nothing") {
  TaskState state;
  CHECK_THROWS_AS(state.become(TaskStatus::running), Error);
  CHECK(state.status == TaskStatus::pending);
  state.become(TaskStatus::terminated);
  CHECK_THROWS_AS(state.become(TaskStatus::terminated), Error);
}

TEST_CASE("every status has a name that leads back to it") {
  for (int number = 0; number < 6; ++number) {
    const auto status = static_cast<TaskStatus>(number);
    CHECK(parse_status(name_of(status)) == status);
  }
  CHECK_FALSE(parse_status("paused"));
}

TEST_CASE("what is taken and what is decided is flushed, how far a task has come is not") {
  const TaskState before;
  TaskState after = before;
  after.status = TaskStatus::running;
  after.container_id = "abc";
  after.ports.emplace();
  after.gpu_ids.emplace();
  CHECK_FALSE(must_be_flushed(before, after));
  after.gpu_ids->push_back("GPU-1");
  CHECK(must_be_flushed(before, after));

  const auto changed = [&before](auto change) {
    TaskState state = before;
    change(state);
    return must_be_flushed(before, state);
  };
  CHECK(changed([](TaskState& state) { state.holds_keys = true; }));
  CHECK(changed([](TaskState& state) { state.holds_volumes = true; }));
  CHECK(changed([](TaskState& state) { state.given_back = true; }));
  CHECK(changed([](TaskState& state) { state.removing = true; }));
  CHECK(changed([](TaskState& state) { state.ending = Ending{.reason = "done_by_runner", .message = ""}; }));
}
