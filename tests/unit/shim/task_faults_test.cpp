// What becomes of tasks when the engine fails them: each ends for the contract's reason within its deadline, or goes
// on, and the shim answers meanwhile.

#include <catch2/catch_test_macros.hpp>

#include "tests/unit/shim/task_fixture.h"

using namespace dstack;
using namespace dstack::shim;

namespace {

const std::string pull_line = "POST /images/create";
const std::string layer = R"({"status":"Downloading","id":"aaa","progressDetail":{"current":5,"total":10}})"
                          "\n";

// An image that is not there yet.
struct Fixture : TaskFixture {
  static task::TaskConfig pulling(const std::string& id = "1") {
    task::TaskConfig wanted = config(id);
    wanted.image_name = "other:1";
    return wanted;
  }

  static FakeEngine::Handler hang() {
    return [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.hang(); };
  }

  // A pull that has begun, as its task tells, and gets no further.
  void begin_pull_that_hangs(const std::string& id = "1") {
    engine.on(
        pull_line,
        [](const FakeEngine::Request&, FakeEngine::Reply& reply) {
          reply.begin_stream();
          reply.send(layer);
          reply.hang();
        },
        1);
    tasks().submit(pulling(id), Secret());
    await([&] { return tasks().info(id).pull_progress.has_value(); });
  }

  // Time passes, from pause to pause, until `done`.
  template <typename Condition>
  void pass_until(Condition done) {
    while (!done()) {
      if (!clock.end_next_wait(1min)) std::this_thread::yield();
    }
  }
  void pass_until_status(TaskStatus status) {
    pass_until([&] { return tasks().info("1").status == status; });
  }

  bool answers() { return tasks().list(true).size() == 1 && tasks().info("1").container_name == container(); }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "an engine that dies in the middle of a pull and stays away ends the task") {
  begin_pull_that_hangs();
  engine.die();
  CHECK(answers());
  CHECK(tasks().info("1").status == TaskStatus::pulling);
  // After three more attempts, 1 + 5 + 25 s. No container was asked for, so none needs to be looked for.
  const os::SteadyTime died = clock.now();
  pass_until_status(TaskStatus::terminated);
  CHECK(clock.now() - died >= 31s);
  const task::TaskInfo info = tasks().info("1");
  CHECK(info.termination_reason == "creating_container_error");
  CHECK(info.termination_message.contains("downloaded 5 of 10 bytes"));
}

TEST_CASE_METHOD(Fixture, "an engine that dies in the middle of a pull and comes back runs the task") {
  begin_pull_that_hangs();
  engine.die();
  engine.revive();
  pass_until_status(TaskStatus::running);
  CHECK(tasks().info("1").ports->size() == 2);
}

TEST_CASE_METHOD(Fixture, "a pull without progress ends the task after twenty minutes") {
  begin_pull_that_hangs();
  clock.advance(19min);
  CHECK(tasks().info("1").status == TaskStatus::pulling);
  CHECK(answers());
  clock.advance(1min);
  await_status(TaskStatus::terminated);
  const task::TaskInfo info = tasks().info("1");
  CHECK(info.termination_reason == "creating_container_error");
  CHECK(info.termination_message.contains("no progress for 20 minutes"));
  CHECK(engine.count(pull_line) == 1);
}

TEST_CASE_METHOD(Fixture, "two tasks share a pull, and the end of one leaves it to the other") {
  std::promise<void> done;
  engine.on(
      pull_line,
      [&](const FakeEngine::Request& request, FakeEngine::Reply& reply) {
        reply.begin_stream();
        reply.send(layer);
        done.get_future().wait();
        engine.as_usual(request, reply);
      },
      1);
  for (const std::string id : {"1", "2"}) {
    tasks().submit(pulling(id), Secret());
    await([&] { return tasks().info(id).pull_progress.has_value(); });
  }
  CHECK(terminate("1").termination_reason == "aborted_by_user");
  CHECK(tasks().info("2").status == TaskStatus::pulling);
  done.set_value();
  await_status(TaskStatus::running, "2");
  CHECK(engine.count(pull_line) == 1);
}

TEST_CASE_METHOD(Fixture, "an engine that hangs while a container is made ends the task after two minutes") {
  engine.on("POST /containers/create", hang(), 1);
  tasks().submit(config(), Secret());
  engine.await("POST /containers/create");
  CHECK(answers());
  CHECK(tasks().info("1").status == TaskStatus::creating);
  clock.advance(119s);
  CHECK(tasks().info("1").status == TaskStatus::creating);
  clock.advance(1s);
  await_status(TaskStatus::terminated);
  CHECK(tasks().info("1").termination_reason == "creating_container_error");
}

TEST_CASE_METHOD(Fixture, "an engine that hangs while a container is started ends the task after five minutes") {
  engine.on("POST /containers/0*", hang(), 1);
  tasks().submit(config(), Secret());
  engine.await("POST /containers/0*");
  CHECK(answers());
  clock.advance(299s);
  CHECK(tasks().info("1").status == TaskStatus::creating);
  clock.advance(1s);
  await_status(TaskStatus::terminated);
  CHECK(tasks().info("1").termination_reason == "container_exited_with_error");
  for (const auto& left : engine.containers()) CHECK(left.status != "running");
}

TEST_CASE_METHOD(Fixture, "an engine that answers nonsense ends the task") {
  engine.on("POST /containers/create",
            [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.send_raw("ohai\r\n\r\n"); });
  tasks().submit(config(), Secret());
  CHECK(await_status(TaskStatus::terminated).termination_reason == "creating_container_error");
}

TEST_CASE_METHOD(Fixture, "an engine that was restarted and took its containers with it ends their tasks") {
  run();
  engine.await_listeners();
  engine.die();
  engine.end_container(container(), 137);
  CHECK(answers());
  CHECK(tasks().info("1").status == TaskStatus::running);
  engine.revive();
  pass_until_status(TaskStatus::terminated);
  CHECK(tasks().info("1").termination_reason == "container_exited_with_error");
  CHECK(tasks().info("1").termination_message.contains("The container exited with status 137"));
}

TEST_CASE_METHOD(Fixture,
                 "a task that is terminated while the engine is away and was never asked for a container ends") {
  begin_pull_that_hangs();
  engine.die();
  CHECK(terminate().termination_reason == "aborted_by_user");
  tasks().remove("1");
  CHECK(tasks().list(true).empty());
}

TEST_CASE_METHOD(Fixture, "an engine that was restarted and kept its containers keeps their tasks") {
  run();
  engine.await_listeners();
  engine.die();
  const std::size_t lists = engine.count("GET /containers/json");
  engine.revive();
  pass_until([&] { return engine.count("GET /containers/json") > lists; });
  engine.await_listeners();
  CHECK(tasks().info("1").status == TaskStatus::running);
  // And their end is seen as ever.
  engine.end_container(container(), 0);
  pass_until_status(TaskStatus::terminated);
  CHECK(tasks().info("1").termination_reason == "done_by_runner");
}

TEST_CASE_METHOD(Fixture, "an end that an engine tells while it hangs otherwise is seen when it answers again") {
  run();
  engine.await_listeners();
  engine.on("GET /containers/*", hang());
  engine.end_container(container(), 3);
  engine.await("GET /containers/" + tasks().info("1").container_id + "/json", 2);
  CHECK(answers());
  engine.behave();
  clock.advance(10s);  // the limit of a look
  pass_until_status(TaskStatus::terminated);
  CHECK(tasks().info("1").termination_reason == "container_exited_with_error");
}

TEST_CASE_METHOD(Fixture, "last lines that cannot be had are left out of the message") {
  run();
  engine.await_listeners();
  const std::string logs = "GET /containers/" + tasks().info("1").container_id + "/logs";
  engine.on(logs, hang());
  engine.end_container(container(), 3);
  engine.await(logs);
  clock.await_deadline_within(5s);
  clock.advance(5s);
  await_status(TaskStatus::terminated);
  const task::TaskInfo info = tasks().info("1");
  CHECK(info.termination_reason == "container_exited_with_error");
  CHECK(info.termination_message == "The container exited with status 3");
}

TEST_CASE_METHOD(Fixture, "a task that is terminated while the engine is away ends when it is back") {
  run();
  engine.await_listeners();
  engine.die();
  CHECK_THROWS_AS(terminate(), Error);
  CHECK(tasks().info("1").status == TaskStatus::running);
  engine.revive();
  pass_until_status(TaskStatus::terminated);
  CHECK(tasks().info("1").termination_reason == "aborted_by_user");
  CHECK(engine.container(container())->status != "running");
}

TEST_CASE_METHOD(Fixture, "a removal while the engine is away fails, and is done when it is back") {
  run();
  terminate();
  engine.die();
  CHECK_THROWS_AS(tasks().remove("1"), Error);
  engine.revive();
  pass_until([&] { return tasks().list(true).empty(); });
  CHECK(engine.containers().empty());
}

TEST_CASE_METHOD(TaskFixture, "an end that could not be written down is written as soon as the disk lets it") {
  run();
  const std::filesystem::path journals = home / "tasks" / container();
  std::filesystem::rename(journals, folder / "away");
  CHECK(terminate().status == TaskStatus::terminated);
  // Nobody waits for it.
  CHECK(terminate().termination_reason == "aborted_by_user");
  std::filesystem::rename(folder / "away", journals);
  while (journal()["status"] != "terminated") {
    clock.end_next_wait(30s);
    std::this_thread::yield();
  }
  restart();
  CHECK(tasks().info("1").status == TaskStatus::terminated);
  CHECK(tasks().info("1").termination_reason == "aborted_by_user");
}
