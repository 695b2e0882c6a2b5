#include <catch2/catch_test_macros.hpp>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>

#include "shim/docker/container_spec.h"
#include "shim/docker/container_watcher.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_engine.h"

using namespace dstack;
using namespace dstack::shim::docker;
using namespace std::chrono_literals;
using test::FakeEngine;

namespace {

// What the watcher has told so far.
class Reports {
 public:
  void add(const ContainerEnd& end) {
    const std::scoped_lock lock(mutex_);
    ends_.push_back(end);
    changed_.notify_all();
  }
  ContainerEnd take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !ends_.empty(); });
    ContainerEnd end = ends_.front();
    ends_.erase(ends_.begin());
    return end;
  }
  // The same while time passes, for where the test cannot know which of the watcher's pauses it is in.
  ContainerEnd take_in_time(test::FakeClock& clock) {
    std::unique_lock lock(mutex_);
    while (ends_.empty()) {
      clock.end_next_wait(10s);
      changed_.wait_for(lock, 1ms);
    }
    lock.unlock();
    return take();
  }
  bool empty() {
    const std::scoped_lock lock(mutex_);
    return ends_.empty();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<ContainerEnd> ends_;
};

struct Fixture {
  FakeEngine engine;
  test::FakeClock clock;
  EngineClient client{engine_at_socket(engine.socket_path()), clock};
  Reports reports;
  ContainerWatcher watcher{
      client, {.ended = [this](const ContainerEnd& end) { reports.add(end); }, .listed = {}}, clock};

  Fixture() { engine.add_image("app:1"); }

  std::string running(const std::string& name) {
    const std::string id = client.create(name, create_body({.task_id = name, .image = "app:1", .command = {"/r"}}));
    client.start(id);
    return id;
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "the end of a watched container is reported with its exit code") {
  watcher.start();
  const std::string id = running("c");
  watcher.watch(id);
  engine.await_listeners();
  engine.end_container(id, 3);
  const ContainerEnd end = reports.take();
  CHECK(end.container_id == id);
  CHECK_FALSE(end.gone);
  CHECK(end.exit_code == 3);
  CHECK_FALSE(end.out_of_memory);
}

TEST_CASE_METHOD(Fixture, "an end out of memory is told as such") {
  watcher.start();
  const std::string id = running("c");
  watcher.watch(id);
  engine.await_listeners();
  engine.end_container(id, 137, true);
  CHECK(reports.take().out_of_memory);
}

TEST_CASE_METHOD(Fixture, "an end before watch() is reported") {
  watcher.start();
  engine.await_listeners();
  const std::string id = running("c");
  engine.end_container(id, 4);
  watcher.watch(id);
  CHECK(reports.take().exit_code == 4);
}

TEST_CASE_METHOD(Fixture, "an end before start() is reported") {
  const std::string id = running("c");
  watcher.watch(id);
  engine.end_container(id, 5);
  watcher.start();
  CHECK(reports.take().exit_code == 5);
}

TEST_CASE_METHOD(Fixture, "a container that was never there is gone") {
  watcher.start();
  watcher.watch("nobody");
  const ContainerEnd end = reports.take();
  CHECK(end.gone);
  CHECK_FALSE(end.exit_code);
}

TEST_CASE_METHOD(Fixture, "a container removed by hand is gone") {
  watcher.start();
  const std::string id = running("c");
  watcher.watch(id);
  engine.await_listeners();
  engine.remove_container(id);
  CHECK(reports.take().gone);
}

TEST_CASE_METHOD(Fixture, "a container that is not started has not ended") {
  const std::string waiting = client.create("w", create_body({.task_id = "w", .image = "app:1", .command = {"/r"}}));
  watcher.watch(waiting);
  const std::string ended = running("e");
  engine.end_container(ended, 0);
  watcher.watch(ended);
  watcher.start();
  CHECK(reports.take().container_id == ended);
  engine.await_listeners();
  client.start(waiting);
  engine.end_container(waiting, 1);
  CHECK(reports.take().container_id == waiting);
}

TEST_CASE_METHOD(Fixture, "an end is reported once") {
  watcher.start();
  const std::string first = running("a");
  const std::string second = running("b");
  watcher.watch(first);
  watcher.watch(second);
  engine.await_listeners();
  engine.end_container(first, 1);
  CHECK(reports.take().container_id == first);
  engine.remove_container(first);
  engine.drop_event_streams();
  engine.end_container(second, 2);
  clock.await_deadline_within(100ms);
  clock.advance(100ms);
  CHECK(reports.take_in_time(clock).container_id == second);
  CHECK(reports.empty());
}

TEST_CASE_METHOD(Fixture, "a forgotten container is not reported") {
  watcher.start();
  const std::string forgotten = running("a");
  const std::string watched = running("b");
  watcher.watch(forgotten);
  watcher.watch(watched);
  engine.await_listeners();
  watcher.forget(forgotten);
  engine.end_container(forgotten, 1);
  engine.end_container(watched, 2);
  CHECK(reports.take().container_id == watched);
}

TEST_CASE_METHOD(Fixture, "what happened while the stream of events was down is found by the list") {
  watcher.start();
  const std::string ended = running("a");
  const std::string lost = running("b");
  watcher.watch(ended);
  watcher.watch(lost);
  engine.await_listeners();
  engine.die();
  clock.await_deadline_within(100ms);
  engine.end_container(ended, 9);
  engine.lose_container(lost);
  engine.revive();
  const ContainerEnd one = reports.take_in_time(clock);
  const ContainerEnd two = reports.take_in_time(clock);
  CHECK((one.container_id == ended ? one : two).exit_code == 9);
  CHECK((one.container_id == lost ? one : two).gone);
}

TEST_CASE_METHOD(Fixture, "an engine in trouble is asked again with growing pauses, at most 10 s") {
  watcher.start();
  const std::string id = running("a");
  watcher.watch(id);
  engine.await_listeners();
  engine.await("GET /containers/" + id + "/json");
  engine.on("*", [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.error(500, "in trouble"); });
  engine.drop_event_streams();
  const std::size_t pings = engine.count("GET /_ping");
  std::size_t attempts = 0;
  for (const auto pause : {100ms, 200ms, 400ms, 800ms, 1600ms, 3200ms, 6400ms, 10000ms, 10000ms}) {
    // Each attempt begins with a ping, so the pause before it is over when the ping is there.
    if (attempts > 0) engine.await("GET /_ping", pings + attempts);
    clock.await_pause_within(pause);
    clock.advance(pause - 1ms);
    clock.await_pause_within(1ms);
    clock.advance(1ms);
    ++attempts;
  }
  engine.behave();
  engine.end_container(id, 0);
  CHECK(reports.take_in_time(clock).exit_code == 0);
}

TEST_CASE_METHOD(Fixture, "an engine that hangs is asked again when it answers") {
  const std::string id = running("a");
  engine.on(
      "GET /containers/" + id + "/json", [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.hang(); }, 1);
  watcher.start();
  engine.await_listeners();
  engine.end_container(id, 6);
  watcher.watch(id);
  engine.await("GET /containers/" + id + "/json");
  clock.await_deadline_within(10s);
  clock.advance(10s);  // the limit of the look
  clock.await_deadline_within(100ms);
  clock.advance(100ms);  // the pause
  CHECK(reports.take_in_time(clock).exit_code == 6);
}

TEST_CASE_METHOD(Fixture, "an event that was lost is made up for when the stream is renewed") {
  watcher.start();
  const std::string id = running("a");
  watcher.watch(id);
  engine.await_listeners();
  engine.await("GET /containers/" + id + "/json");
  engine.lose_container(id);
  clock.await_deadline_within(5min);
  clock.advance(5min);
  CHECK(reports.take_in_time(clock).gone);
}

TEST_CASE_METHOD(Fixture, "garbage from the engine is survived") {
  const std::string id = running("a");
  engine.on(
      "GET /containers/json",
      [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.answer(200, "{\"no\": \"list\"}"); }, 1);
  engine.on(
      "GET /events",
      [](const FakeEngine::Request&, FakeEngine::Reply& reply) {
        reply.begin_stream();
        reply.send("nonsense\n{}\n[]\n");
      },
      1);
  watcher.start();
  watcher.watch(id);
  clock.await_deadline_within(100ms);
  clock.advance(100ms);
  engine.await("GET /events");
  engine.end_container(id, 1);
  CHECK(reports.take_in_time(clock).exit_code == 1);
}

TEST_CASE_METHOD(Fixture, "a handler that throws does not end the watcher") {
  Reports seen;
  ContainerWatcher other(client,
                         {.ended =
                              [&seen](const ContainerEnd& end) {
                                seen.add(end);
                                throw std::runtime_error("no");
                              },
                          .listed = {}},
                         clock);
  other.start();
  other.watch("one");
  CHECK(seen.take().container_id == "one");
  other.watch("two");
  CHECK(seen.take().container_id == "two");
}

TEST_CASE_METHOD(Fixture, "every list is handed on") {
  running("a");
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::size_t> sizes;
  ContainerWatcher other(client,
                         {.ended = [](const ContainerEnd&) {},
                          .listed =
                              [&](const std::vector<ContainerSummary>& containers) {
                                const std::scoped_lock lock(mutex);
                                sizes.push_back(containers.size());
                                changed.notify_all();
                              }},
                         clock);
  other.start();
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return sizes.size() == 1; });
  CHECK(sizes[0] == 1);
}

TEST_CASE("a watcher ends at once while the engine hangs") {
  FakeEngine engine;
  EngineClient client(engine_at_socket(engine.socket_path()));
  engine.on("GET /containers/*", [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.hang(); });
  {
    ContainerWatcher watcher(client, {.ended = [](const ContainerEnd&) {}, .listed = {}});
    watcher.watch("c");
    watcher.start();
    engine.await("GET /containers/json");
    engine.await("GET /containers/c/json");
  }
  SUCCEED();
}

TEST_CASE_METHOD(Fixture, "a signal that ends a container while the engine shuts down is the engine's") {
  watcher.start();
  const std::string killed = running("a");
  const std::string exited = running("b");
  watcher.watch(killed);
  watcher.watch(exited);
  engine.await_listeners();
  // It listens no more, and its old connections still work.
  engine.on("GET /_ping", [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.break_connection(); });
  engine.end_container(killed, 143);
  CHECK(reports.take().engine_was_away);
  // What ended by itself did so whatever the engine does.
  engine.end_container(exited, 1);
  CHECK_FALSE(reports.take().engine_was_away);
}

TEST_CASE_METHOD(Fixture, "a signal that ends a container of an engine that stays is not the engine's") {
  watcher.start();
  const std::string killed = running("a");
  watcher.watch(killed);
  engine.await_listeners();
  engine.end_container(killed, 137);
  CHECK_FALSE(reports.take().engine_was_away);
}

TEST_CASE_METHOD(Fixture, "the next engine's answer on the same socket does not hide that the last one went") {
  watcher.start();
  const std::string killed = running("a");
  watcher.watch(killed);
  engine.await_listeners();
  engine.on(
      "GET /_ping",
      [this](const FakeEngine::Request& request, FakeEngine::Reply& reply) {
        engine.drop_event_streams();
        clock.await_deadline_within(100ms);  // the pause of what follows the events
        engine.as_usual(request, reply);
      },
      1);
  engine.end_container(killed, 143);
  CHECK(reports.take().engine_was_away);
}

TEST_CASE_METHOD(Fixture, "an engine that is slow to take a connection is asked again, and not called away") {
  client.connect();  // or two threads would do it at once, with a ping each
  watcher.start();
  const std::string killed = running("a");
  watcher.watch(killed);
  engine.await_listeners();
  engine.on("GET /_ping", [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.hang(); }, 1);
  engine.end_container(killed, 137);
  engine.await("GET /_ping", 2);
  clock.await_deadline_within(5s);
  clock.advance(5s);
  CHECK_FALSE(reports.take_in_time(clock).engine_was_away);
}
