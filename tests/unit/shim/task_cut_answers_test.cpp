// An engine that is cut off in the middle of its answers: the task runs on or ends with the cause, nothing of it is
// left, and the next task runs.

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "tests/unit/shim/task_fixture.h"

using namespace dstack;
using namespace dstack::shim;

namespace {

struct Fixture : TaskFixture {
  // Time passes, from pause to pause, only while nothing else happens: it would also pass for calls under way.
  template <typename Future>
  void pass_time_until_ready(const Future& done) {
    while (done.wait_for(50ms) != std::future_status::ready) clock.end_next_wait(30s);
  }

  // As a server does: again while it fails.
  void again_and_again(const std::function<void()>& attempt) {
    for (int left = 50;; --left) {
      auto done = std::async(std::launch::async, attempt);
      pass_time_until_ready(done);
      try {
        return done.get();
      } catch (const Error& error) {
        if (error.kind() == ErrorKind::not_found) return;  // what had failed was done meanwhile
        INFO(error.what());
        REQUIRE(left > 0);
      }
    }
  }
  void end(const std::string& id) {
    again_and_again([this, id] { terminate(id); });
    again_and_again([this, id] { tasks().remove(id); });
  }

  static task::TaskConfig pulling(const std::string& id) {
    task::TaskConfig wanted = config(id);
    wanted.image_name = "pulled-" + id + ":1";
    wanted.gpu = 1;
    return wanted;
  }
  bool is_started(const std::string& id) { return tasks().info(id).status >= TaskStatus::running; }

  void check_whole(const task::TaskInfo& info) {
    INFO(info.termination_reason << ": " << info.termination_message);
    CHECK((info.status == TaskStatus::running || !info.termination_message.empty()));
    CHECK((info.status == TaskStatus::running || info.termination_reason == "creating_container_error" ||
           info.termination_reason == "container_exited_with_error" || info.termination_reason == "executor_error"));
    CHECK(tasks().list(true).empty());
    CHECK(gpus.free() == 2);
    pass_time_until_ready(
        std::async(std::launch::async, [this] { await([this] { return engine.containers().empty(); }); }));
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "any one answer of the engine may break off") {
  tasks();
  // Before the status, in the headers, in the body.
  const auto bytes = GENERATE(std::size_t{0}, std::size_t{40}, std::size_t{130});
  std::size_t most = 1;
  for (std::size_t nth = 1; nth <= most; ++nth) {
    INFO("request " << nth << " after " << bytes << " bytes");
    // Of the watcher's requests, some may still be on their way when the life is over.
    const auto seen = std::make_shared<std::atomic<std::size_t>>(0);
    engine.on("*", [this, seen, nth, bytes](const FakeEngine::Request& request, FakeEngine::Reply& reply) {
      if (++*seen == nth) reply.cut_after(bytes);
      engine.as_usual(request, reply);
    });
    const std::string id = std::to_string(nth);
    tasks().submit(pulling(id), Secret());
    pass_time_until_ready(std::async(std::launch::async, [&] { await([&] { return is_started(id); }); }));
    const task::TaskInfo info = tasks().info(id);
    end(id);
    most = std::max<std::size_t>(most, std::min<std::size_t>(*seen, 40));
    engine.behave();
    check_whole(info);
  }
  CHECK(most > 5);
  CHECK(run(pulling("last")).status == TaskStatus::running);
}

TEST_CASE_METHOD(Fixture, "every answer of the engine may break off") {
  tasks();
  for (const std::size_t bytes : std::initializer_list<std::size_t>{0, 20, 100, 140, 180, 260}) {
    INFO("after " << bytes << " bytes");
    const std::string id = std::to_string(bytes);
    engine.on("*", [this, bytes](const FakeEngine::Request& request, FakeEngine::Reply& reply) {
      reply.cut_after(bytes);
      engine.as_usual(request, reply);
    });
    tasks().submit(pulling(id), Secret());
    // A container that may have been made is looked for until the engine answers.
    const os::SteadyTime limit = clock.now() + 1min;
    pass_time_until_ready(
        std::async(std::launch::async, [&] { await([&] { return is_started(id) || clock.now() > limit; }); }));
    engine.behave();
    pass_time_until_ready(std::async(std::launch::async, [&] { await([&] { return is_started(id); }); }));
    const task::TaskInfo info = tasks().info(id);
    end(id);
    check_whole(info);
    CHECK(run(pulling("after-" + id)).status == TaskStatus::running);
    end("after-" + id);
  }
}
