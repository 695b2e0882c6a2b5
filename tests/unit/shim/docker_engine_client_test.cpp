#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <nlohmann/json.hpp>
#include <thread>

#include "common/error.h"
#include "shim/docker/container_spec.h"
#include "shim/docker/engine_client.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_engine.h"

using namespace dstack;
using namespace dstack::shim::docker;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using test::FakeEngine;

namespace {

nlohmann::json body_for(const std::string& image) {
  return create_body({.task_id = "t", .image = image, .runner_folder = "/runners/t", .command = {"/runner"}});
}

ErrorKind kind_of_failure(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.kind();
  }
  FAIL("no error");
  return ErrorKind::internal;
}

void answer_with(FakeEngine& engine, const std::string& line, int status, const std::string& message) {
  engine.on(line, [=](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.error(status, message); });
}

struct Fixture {
  FakeEngine engine;
  EngineClient client{engine_at_socket(engine.socket_path())};

  std::string created(const std::string& name = "c") {
    engine.add_image("busybox:1");
    return client.create(name, body_for("busybox:1"));
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "the engine's newest version is spoken, up to what this client knows") {
  engine.set_api_version("1.41");
  client.connect();
  CHECK(client.info().api_version == "1.41");
  engine.set_api_version("1.99");
  client.connect();
  CHECK(client.info().api_version == "1.56");
  engine.set_api_version("2.0");
  client.connect();
  CHECK(client.info().api_version == "1.56");
}

TEST_CASE_METHOD(Fixture, "an engine whose oldest version is newer than all that are known says so") {
  engine.set_api_version("1.70", "1.60");
  CHECK_THROWS_WITH(client.connect(), ContainsSubstring("1.60") && ContainsSubstring("1.56") &&
                                          ContainsSubstring("update dstack-shim") &&
                                          ContainsSubstring(engine.socket_path()));
  // As is known once a call is made.
  CHECK(kind_of_failure([&] { client.info(); }) == ErrorKind::unavailable);
}

TEST_CASE_METHOD(Fixture, "an engine that is too old is refused with its version") {
  engine.set_api_version("1.40");
  CHECK_THROWS_WITH(client.connect(),
                    ContainsSubstring("1.40") && ContainsSubstring("1.41") && ContainsSubstring(engine.socket_path()));
}

TEST_CASE_METHOD(Fixture, "a version given by the environment is not negotiated") {
  EngineAddress address = engine_at_socket(engine.socket_path());
  address.api_version = "1.42";
  EngineClient fixed(address);
  CHECK(fixed.info().api_version == "1.42");
}

TEST_CASE_METHOD(Fixture, "what answers and is no engine is refused") {
  engine.on("GET /_ping", [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.answer(200, "hello"); });
  CHECK_THROWS_WITH(client.connect(),
                    ContainsSubstring("does not answer as a Docker engine") && ContainsSubstring(engine.socket_path()));
}

TEST_CASE_METHOD(Fixture, "an engine that is not there is one line that names its socket") {
  engine.die();
  try {
    client.connect();
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::unavailable);
    CHECK_THAT(error.what(), ContainsSubstring("unix://" + engine.socket_path()) && !ContainsSubstring("\n"));
  }
}

TEST_CASE_METHOD(Fixture, "the engine's settings are read") {
  const EngineInfo info = client.info();
  CHECK(info.version == "25.0.0");
  CHECK(info.cgroup_version == 2);
  CHECK_FALSE(info.podman);
  CHECK_FALSE(info.root_directory.empty());
}

TEST_CASE_METHOD(Fixture, "a container is made, started, looked at, stopped and removed") {
  const std::string id = created("c");
  CHECK(client.inspect(id)->status == ContainerStatus::created);
  client.start(id);
  CHECK(client.inspect("c")->status == ContainerStatus::running);
  client.stop(id, 10s);
  CHECK(client.inspect(id)->status == ContainerStatus::exited);
  CHECK(client.inspect(id)->exit_code == 137);
  client.remove(id);
  CHECK_FALSE(client.inspect(id));
  CHECK(engine.requests().back().method == "GET");
  CHECK(engine.count("DELETE /containers/*") == 1);
}

TEST_CASE_METHOD(Fixture, "stop and remove ask for what they promise") {
  const std::string id = created();
  client.stop(id, 7s);
  CHECK(engine.requests().back().query.at("t") == "7");
  client.remove(id);
  CHECK(engine.requests().back().query.at("force") == "1");
  CHECK(engine.requests().back().query.at("v") == "1");
}

TEST_CASE_METHOD(Fixture, "what is done already is a success") {
  const std::string id = created();
  client.stop(id, 0s);
  client.kill(id);
  client.start(id);
  client.start(id);
  client.remove(id);
  client.remove(id);
}

TEST_CASE_METHOD(Fixture, "a removal that is under way is waited for") {
  const std::string id = created();
  answer_with(engine, "DELETE /containers/*", 409, "removal of container " + id + " is already in progress");
  engine.on("POST /containers/" + id + "/wait", [this, id](const FakeEngine::Request&, FakeEngine::Reply& reply) {
    engine.remove_container(id);
    reply.answer(200, R"({"StatusCode":0})");
  });
  client.remove(id);
  CHECK_FALSE(client.inspect(id));
}

TEST_CASE_METHOD(Fixture, "other conflicts of a removal are errors") {
  const std::string id = created();
  answer_with(engine, "DELETE /containers/*", 409, "cannot remove: in use");
  CHECK(kind_of_failure([&] { client.remove(id); }) == ErrorKind::conflict);
}

TEST_CASE_METHOD(Fixture, "a kill that conflicts with a running container is an error") {
  const std::string id = created();
  client.start(id);
  answer_with(engine, "POST /containers/*", 409, "container is paused");
  CHECK(kind_of_failure([&] { client.kill(id); }) == ErrorKind::conflict);
}

TEST_CASE_METHOD(Fixture, "each status has its kind and carries the engine's message") {
  const auto failing = [this](int status) {
    answer_with(engine, "POST /containers/*", status, "the engine's reason");
    CHECK_THROWS_WITH(client.start("c"), "start container c: the engine's reason");
    return kind_of_failure([&] { client.start("c"); });
  };
  CHECK(failing(404) == ErrorKind::not_found);
  CHECK(failing(409) == ErrorKind::conflict);
  CHECK(failing(400) == ErrorKind::invalid);
  CHECK(failing(401) == ErrorKind::invalid);
  CHECK(failing(429) == ErrorKind::unavailable);
  CHECK(failing(500) == ErrorKind::internal);
}

TEST_CASE_METHOD(Fixture, "a name that is taken is a conflict") {
  created("c");
  CHECK(kind_of_failure([&] { created("c"); }) == ErrorKind::conflict);
  answer_with(engine, "POST /containers/create", 500,
              "creating container storage: the container name \"c\" is already in use by abc");
  CHECK(kind_of_failure([&] { created("c"); }) == ErrorKind::conflict);
}

TEST_CASE_METHOD(Fixture, "a created container without an id is nonsense") {
  engine.on("POST /containers/create",
            [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.answer(201, "{}"); });
  CHECK(kind_of_failure([&] { client.create("c", nlohmann::json::object()); }) == ErrorKind::unavailable);
}

TEST_CASE_METHOD(Fixture, "an answer that is no JSON is nonsense") {
  engine.on("GET /containers/*",
            [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.answer(200, "<html>"); });
  CHECK(kind_of_failure([&] { client.inspect("c"); }) == ErrorKind::unavailable);
  CHECK(kind_of_failure([&] { client.list("l"); }) == ErrorKind::unavailable);
}

TEST_CASE_METHOD(Fixture, "a broken connection is an engine that is away") {
  engine.on("GET /containers/*",
            [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.break_connection(); });
  CHECK(kind_of_failure([&] { client.inspect("c"); }) == ErrorKind::unavailable);
  engine.behave();
  CHECK_FALSE(client.inspect("c"));
}

TEST_CASE("a call ends at its limit, by the clock") {
  FakeEngine engine;
  test::FakeClock clock;
  EngineClient client(engine_at_socket(engine.socket_path()), clock);
  client.connect();
  engine.on("POST *", [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.hang(); });
  std::thread turner([&] {
    clock.await_waiters();
    clock.advance(8s);
  });
  CHECK(kind_of_failure([&] { client.kill("c", {.limit = 8s}); }) == ErrorKind::timed_out);
  turner.join();
}

TEST_CASE_METHOD(Fixture, "a call that hangs ends with its stop") {
  engine.on("POST /containers/*", [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.hang(); });
  std::stop_source stop;
  std::thread stopper([&] {
    engine.await("POST /containers/c/start");
    stop.request_stop();
  });
  CHECK(kind_of_failure([&] { client.start("c", {stop.get_token()}); }) == ErrorKind::cancelled);
  stopper.join();
}

TEST_CASE_METHOD(Fixture, "names reach the engine byte for byte") {
  const std::string name = "../a b?c#d%2e\n";
  client.inspect(name);
  CHECK(engine.requests().back().path == "/containers/" + name + "/json");
}

TEST_CASE_METHOD(Fixture, "a pull sends repository, tag and credentials") {
  client.pull(parse_image_reference("127.0.0.1:5000/app:2"), {.username = "u", .password = Secret("p\"~\xc3\xbf?>")},
              [](std::string_view) {});
  const FakeEngine::Request request = engine.requests().back();
  CHECK(request.line() == "POST /images/create");
  CHECK(request.query.at("fromImage") == "127.0.0.1:5000/app");
  CHECK(request.query.at("tag") == "2");
  // Python: base64.urlsafe_b64encode(…); the standard alphabet would have a "+" where this has a "-".
  CHECK(request.headers.at("x-registry-auth") ==
        "eyJwYXNzd29yZCI6InBcIn7Dvz8-Iiwic2VydmVyYWRkcmVzcyI6IjEyNy4wLjAuMTo1MDAwIiwidXNlcm5hbWUiOiJ1In0=");
}

TEST_CASE_METHOD(Fixture, "a pull by digest names it, a pull without credentials sends none") {
  const std::string digest = "sha256:" + std::string(64, 'a');
  client.pull(parse_image_reference("app:1@" + digest), {}, [](std::string_view) {});
  const FakeEngine::Request request = engine.requests().back();
  CHECK(request.query.at("fromImage") == "app");
  CHECK(request.query.at("tag") == digest);
  CHECK_FALSE(request.headers.contains("x-registry-auth"));
}

TEST_CASE_METHOD(Fixture, "an image is present or it is not") {
  engine.add_image("registry:5000/a/b:1");
  CHECK(client.image_present(parse_image_reference("registry:5000/a/b:1")));
  CHECK_FALSE(client.image_present(parse_image_reference("registry:5000/a/b:2")));
}

TEST_CASE_METHOD(Fixture, "the list names labels and mounts") {
  created("c");
  const auto containers = client.list(kTaskLabel);
  REQUIRE(containers.size() == 1);
  CHECK(containers[0].name == "c");
  CHECK(containers[0].labels.at(kTaskIdLabel) == "t");
  CHECK(containers[0].mounts.at(0).destination == "/tmp/runner");
  CHECK(engine.requests().back().query.at("filters") == R"({"label":["ai.dstack.shim.is-task=true"]})");
  CHECK(engine.requests().back().query.at("all") == "1");
}

TEST_CASE_METHOD(Fixture, "the last lines of a container's output") {
  const std::string id = created();
  engine.set_output(id, "1\n2\r\n3\n4\n5\n" + std::string(5000, 'x'));
  const auto lines = client.last_lines(id, 3);
  CHECK(lines == std::vector<std::string>{"4", "5", std::string(4096, 'x')});
  CHECK(engine.requests().back().query.at("tail") == "3");
  CHECK(kind_of_failure([&] { client.last_lines("nobody", 5); }) == ErrorKind::not_found);
}

TEST_CASE_METHOD(Fixture, "ends and removals are followed") {
  const std::string id = created();
  client.start(id);
  std::stop_source stop;
  std::vector<ContainerEvent> events;
  std::thread actor([&] {
    engine.await_listeners();
    engine.end_container(id, 3);
    engine.remove_container(id);
  });
  std::chrono::sys_seconds at;
  client.list(kTaskLabel, {}, &at);
  CHECK(kind_of_failure([&] {
          client.follow_ends(kTaskLabel, at,
                             [&](const ContainerEvent& event) {
                               if (event.action != "create") events.push_back(event);
                               if (event.action == "destroy") stop.request_stop();
                             },
                             {stop.get_token()});
        }) == ErrorKind::cancelled);
  actor.join();
  REQUIRE(events.size() == 2);
  CHECK(events[0].action == "die");
  CHECK(events[0].container_id == id);
  CHECK(events[0].exit_code == 3);
}

TEST_CASE_METHOD(Fixture, "what happened between the list and the stream of events is not missed") {
  const std::string id = created();
  client.start(id);
  std::chrono::sys_seconds at;
  client.list(kTaskLabel, {}, &at);
  engine.end_container(id, 3);
  std::stop_source stop;
  CHECK(kind_of_failure([&] {
          client.follow_ends(kTaskLabel, at,
                             [&](const ContainerEvent& event) {
                               if (event.action == "die") stop.request_stop();
                             },
                             {stop.get_token()});
        }) == ErrorKind::cancelled);
}

TEST_CASE_METHOD(Fixture, "a stream of events that never has a line's end is given up") {
  engine.on("GET /events", [](const FakeEngine::Request&, FakeEngine::Reply& reply) {
    reply.begin_stream();
    for (int i = 0; i < 40; ++i) reply.send(std::string(65536, 'x'));
    reply.hang();
  });
  CHECK(kind_of_failure([&] { client.follow_ends(kTaskLabel, {}, [](const ContainerEvent&) {}); }) ==
        ErrorKind::unavailable);
}
