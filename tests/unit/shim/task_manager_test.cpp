#include <algorithm>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fstream>

#include "tests/unit/shim/task_fixture.h"

using namespace dstack;
using namespace dstack::shim;

namespace {

FakeEngine::Handler hang() {
  return [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.hang(); };
}

FakeEngine::Handler fail(int status, const std::string& message) {
  return [=](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.error(status, message); };
}

}  // namespace

TEST_CASE_METHOD(TaskFixture, "a task goes from submit to its removal, and leaves nothing") {
  const task::TaskInfo submitted = tasks().submit(config(), Secret());
  CHECK(submitted.id == "1");
  CHECK(submitted.container_name == container());
  CHECK_FALSE(submitted.ports);
  const task::TaskInfo running = await_status(TaskStatus::running);
  CHECK(running.ports ==
        std::vector<docker::PortMapping>{{.host = 40000, .container = 10022}, {.host = 40001, .container = 10999}});
  CHECK(running.container_id == engine.container(container())->id);
  CHECK(running.termination_reason.empty());
  CHECK(std::filesystem::is_directory(home / "runners" / container()));

  engine.end_container(container(), 0);
  const task::TaskInfo ended = await_status(TaskStatus::terminated);
  CHECK(ended.termination_reason == "done_by_runner");
  CHECK(ended.termination_message.empty());
  CHECK(engine.container(container()));

  tasks().remove("1");
  CHECK_THROWS_AS(tasks().info("1"), Error);
  CHECK(engine.containers().empty());
  CHECK(std::filesystem::is_empty(home / "runners"));
  CHECK(std::filesystem::is_empty(home / "tasks"));
}

TEST_CASE_METHOD(TaskFixture, "it is told how long a task took to start, once") {
  Gate gate(engine, "POST /containers/create");
  tasks().submit(config(), Secret());
  gate.await();
  CHECK(starts.empty());
  clock.advance(7s);
  gate.open();
  await_status(TaskStatus::running);
  CHECK(starts == std::vector<std::chrono::nanoseconds>{7s});
  restart();
  terminate();
  CHECK(starts.size() == 1);
}

TEST_CASE_METHOD(TaskFixture, "a task that never ran has not started") {
  engine.on("POST /containers/*", fail(500, "no"));
  CHECK(run().status == TaskStatus::terminated);
  CHECK(starts.empty());
}

TEST_CASE_METHOD(TaskFixture, "ports are an empty list in host mode") {
  task::TaskConfig wanted = config();
  wanted.network_mode = docker::NetworkMode::host;
  CHECK(run(wanted).ports == std::vector<docker::PortMapping>{});
}

TEST_CASE_METHOD(TaskFixture, "a container that fails tells its last five lines") {
  run();
  engine.set_output(container(), "1\n2\n3\n4\n5\n6\n");
  engine.end_container(container(), 3);
  const task::TaskInfo ended = await_status(TaskStatus::terminated);
  CHECK(ended.termination_reason == "container_exited_with_error");
  CHECK(ended.termination_message.ends_with("5\n6"));
}

TEST_CASE_METHOD(TaskFixture, "running out of memory is told first of all") {
  run();
  engine.set_output(container(), "last words\n");
  engine.end_container(container(), 137, true);
  const task::TaskInfo ended = await_status(TaskStatus::terminated);
  CHECK(ended.termination_reason == "container_exited_with_error");
  CHECK(ended.termination_message ==
        "The container ran out of memory and was killed\nThe container exited with status 137\nlast words");
}

TEST_CASE_METHOD(TaskFixture, "a container removed by hand ends its task") {
  run();
  engine.await_listeners();
  engine.remove_container(container());
  CHECK(await_status(TaskStatus::terminated).termination_reason == "container_exited_with_error");
  tasks().remove("1");
}

TEST_CASE_METHOD(TaskFixture, "without a runner a task fails and says where one should be") {
  std::filesystem::remove(runner);
  tasks().submit(config(), Secret());
  const task::TaskInfo ended = await_status(TaskStatus::terminated);
  CHECK(ended.termination_reason == "executor_error");
  CHECK(ended.termination_message.contains(runner.string()));
}

TEST_CASE_METHOD(TaskFixture, "too few GPUs are the executor's error, and none is kept") {
  task::TaskConfig wanted = config();
  wanted.gpu = 3;
  tasks().submit(wanted, Secret());
  const task::TaskInfo ended = await_status(TaskStatus::terminated);
  CHECK(ended.termination_reason == "executor_error");
  CHECK(ended.termination_message == "not enough GPUs");
  CHECK(gpus.free() == 2);
}

TEST_CASE_METHOD(TaskFixture, "a pull that the registry refuses ends the task with its words") {
  engine.on("POST /images/create", fail(404, "manifest unknown"));
  task::TaskConfig wanted = config();
  wanted.image_name = "other:1";
  tasks().submit(wanted, Secret());
  const task::TaskInfo ended = await_status(TaskStatus::terminated);
  CHECK(ended.termination_reason == "creating_container_error");
  CHECK(ended.termination_message.contains("manifest unknown"));
}

TEST_CASE_METHOD(TaskFixture, "an image's name that is none ends the task") {
  task::TaskConfig wanted = config();
  wanted.image_name = "No Such Name";
  tasks().submit(wanted, Secret());
  CHECK(await_status(TaskStatus::terminated).termination_reason == "creating_container_error");
}

TEST_CASE_METHOD(TaskFixture, "a container that cannot be made ends the task with the engine's words") {
  engine.on("POST /containers/create", fail(400, "no such runtime"));
  tasks().submit(config(), Secret());
  const task::TaskInfo ended = await_status(TaskStatus::terminated);
  CHECK(ended.termination_reason == "creating_container_error");
  CHECK(ended.termination_message.contains("no such runtime"));
}

TEST_CASE_METHOD(TaskFixture, "a container that cannot be started ends the task and is removed") {
  engine.on("POST /containers/0*", fail(400, "exec: no such file"));
  tasks().submit(config(), Secret());
  const task::TaskInfo ended = await_status(TaskStatus::terminated);
  CHECK(ended.termination_reason == "container_exited_with_error");
  CHECK(ended.termination_message.contains("exec: no such file"));
  CHECK(engine.containers().empty());
}

TEST_CASE_METHOD(TaskFixture, "each step is in the journal before it is taken") {
  std::vector<std::string> seen;
  const auto look = [&](const FakeEngine::Request& request, FakeEngine::Reply& reply) {
    const nlohmann::json journal = this->journal();
    seen.push_back(journal.at("status").get<std::string>() + (journal.at("ending").is_null() ? "" : ", ending"));
    engine.as_usual(request, reply);
  };
  engine.on("GET /images/app:1/json", look, 1);
  engine.on("POST /containers/create", look, 1);
  engine.on("POST /containers/0*", look, 2);
  engine.on("DELETE /containers/*", look, 1);
  task::TaskConfig wanted = config();
  wanted.gpu = 1;
  run(wanted);
  CHECK(journal().at("gpu_ids") == nlohmann::json{"0"});
  CHECK(journal().at("container_id") == tasks().info("1").container_id);
  CHECK_FALSE(journal().at("given_back").get<bool>());
  terminate();
  CHECK(journal().at("given_back").get<bool>());
  CHECK(gpus.free() == 2);
  tasks().remove("1");
  CHECK(seen == std::vector<std::string>{"pulling", "creating", "creating", "running, ending", "terminated, ending"});
}

TEST_CASE_METHOD(TaskFixture, "a terminate ends a pull at once") {
  engine.on("POST /images/create", hang());
  task::TaskConfig wanted = config();
  wanted.image_name = "other:1";
  tasks().submit(wanted, Secret());
  engine.await("POST /images/create");
  CHECK(tasks().info("1").status == TaskStatus::pulling);
  const task::TaskInfo ended = terminate();
  CHECK(ended.status == TaskStatus::terminated);
  CHECK(ended.termination_reason == "aborted_by_user");
  CHECK(ended.termination_message == "enough");
  CHECK(engine.containers().empty());
}

TEST_CASE_METHOD(TaskFixture,
                 "a terminate does not wait for a container that is being made, which is removed when it is") {
  tasks();
  engine.await_listeners();
  Gate gate(engine, "POST /containers/create");
  task::TaskConfig wanted = config();
  wanted.gpu = 1;
  tasks().submit(wanted, Secret());
  gate.await();
  CHECK(terminate().termination_reason == "aborted_by_user");
  CHECK(gpus.free() == 2);
  CHECK(engine.containers().empty());
  // The engine goes on with it.
  gate.open();
  await([&] { return engine.count("DELETE /containers/*") == 1; });
  await([&] { return engine.containers().empty(); });
}

TEST_CASE_METHOD(TaskFixture, "a terminate does not wait for a container that is being started, and leaves none") {
  Gate gate(engine, "POST /containers/0*");
  tasks().submit(config(), Secret());
  gate.await();
  CHECK(terminate().termination_reason == "aborted_by_user");
  CHECK(engine.containers().empty());
  gate.open();
}

TEST_CASE_METHOD(TaskFixture, "a terminate while an engine that answers nothing starts the container fails after 8 s") {
  Gate start(engine, "POST /containers/0*");
  tasks().submit(config(), Secret());
  start.await();
  engine.on("GET /containers/*", hang());
  engine.on("DELETE /containers/*", hang());
  auto ended = terminate_meanwhile();
  engine.await("GET /containers/" + container() + "/json");
  while (ended.wait_for(0s) != std::future_status::ready) {
    if (!clock.end_next_wait(8s)) std::this_thread::yield();
  }
  CHECK_THROWS_AS(ended.get(), Error);
  CHECK(tasks().info("1").status == TaskStatus::creating);
  start.open();
  engine.behave();
  while (tasks().info("1").status != TaskStatus::terminated) {
    if (!clock.end_next_wait(1min)) std::this_thread::yield();
  }
  CHECK(engine.containers().empty());
}

TEST_CASE_METHOD(TaskFixture,
                 "a terminate that the engine does not carry out fails after 8 s, and is tried again by itself") {
  run();
  engine.on("POST /containers/*", hang());
  auto ended = terminate_meanwhile();
  engine.await("POST /containers/" + tasks().info("1").container_id + "/kill");
  clock.await_deadline_within(8s);
  clock.advance(8s);
  CHECK_THROWS_AS(ended.get(), Error);
  // The API answers meanwhile, and the task is as it was.
  CHECK(tasks().info("1").status == TaskStatus::running);
  CHECK(tasks().list(false).size() == 1);

  engine.behave();
  while (tasks().info("1").status == TaskStatus::running) {
    clock.advance(1s);
    std::this_thread::yield();
  }
  CHECK(tasks().info("1").termination_reason == "aborted_by_user");
}

TEST_CASE_METHOD(TaskFixture, "a next call tries a failed terminate again at once") {
  run();
  engine.on("POST /containers/*", fail(500, "device busy"), 1);
  try {
    terminate();
    FAIL("it should not have worked");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).contains("device busy"));
  }
  CHECK(terminate().status == TaskStatus::terminated);
}

TEST_CASE_METHOD(TaskFixture, "a shorter grace replaces a longer one that is running") {
  run();
  const std::string id = tasks().info("1").container_id;
  engine.on("POST /containers/*", hang(), 1);
  auto gentle = terminate_meanwhile("1", 60s);
  engine.await("POST /containers/" + id + "/stop");
  CHECK(terminate("1", 0s).status == TaskStatus::terminated);
  CHECK(gentle.get().status == TaskStatus::terminated);
}

TEST_CASE_METHOD(TaskFixture, "a terminate of a terminated task keeps the first reason") {
  run();
  engine.end_container(container(), 0);
  await_status(TaskStatus::terminated);
  CHECK(terminate().termination_reason == "done_by_runner");
}

TEST_CASE_METHOD(TaskFixture, "a container that is gone counts as stopped and as removed") {
  run();
  engine.lose_container(container());
  CHECK(terminate().status == TaskStatus::terminated);
  CHECK_NOTHROW(tasks().remove("1"));
}

TEST_CASE_METHOD(TaskFixture, "only a terminated task can be removed, and only a known one") {
  run();
  try {
    tasks().remove("1");
    FAIL("it should not have worked");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::conflict);
  }
  CHECK_THROWS_AS(tasks().remove("2"), Error);
  CHECK_THROWS_AS(terminate("2"), Error);
}

TEST_CASE_METHOD(TaskFixture, "an id that is known is refused") {
  run();
  try {
    tasks().submit(config(), Secret());
    FAIL("it should not have worked");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::conflict);
  }
}

TEST_CASE_METHOD(TaskFixture, "a task that was removed may be submitted again") {
  run();
  terminate();
  tasks().remove("1");
  CHECK(run().status == TaskStatus::running);
}

TEST_CASE_METHOD(TaskFixture, "a volume that cannot be unmounted keeps its task as it is until it can") {
  task::TaskConfig wanted = config();
  wanted.volumes = {{.backend = "aws", .name = "v"}};
  wanted.gpu = 2;
  run(wanted);
  volumes.busy = true;
  CHECK_THROWS_AS(terminate(), Error);
  CHECK(tasks().info("1").status == TaskStatus::running);
  // No process uses them, and another task may.
  CHECK(gpus.free() == 2);
  CHECK(gpus.take(1, {}).size() == 1);
  volumes.busy = false;
  CHECK(terminate().status == TaskStatus::terminated);
  CHECK(gpus.free() == 1);
  CHECK(volumes.mounts == 1);
}

TEST_CASE_METHOD(TaskFixture, "a container of somebody else's by the same name stays") {
  const std::string id = [&] {
    docker::EngineClient other(docker::engine_at_socket(engine.socket_path()));
    return other.create(
        container(),
        docker::create_body(
            {.task_id = "1", .image = "app:1", .runner_folder = "/elsewhere/runners/x", .command = {"/r"}}));
  }();
  tasks().submit(config(), Secret());
  const task::TaskInfo ended = await_status(TaskStatus::terminated);
  CHECK(ended.termination_reason == "creating_container_error");
  tasks().remove("1");
  CHECK(engine.container(id));
}

TEST_CASE_METHOD(TaskFixture, "a container that the engine made after everybody gave up is removed") {
  tasks();
  engine.await_listeners();
  docker::EngineClient late(docker::engine_at_socket(engine.socket_path()));
  late.create("late",
              docker::create_body(
                  {.task_id = "gone", .image = "app:1", .runner_folder = home / "runners/late", .command = {"/r"}}));
  late.create(
      "other",
      docker::create_body(
          {.task_id = "gone", .image = "app:1", .runner_folder = "/elsewhere/runners/late", .command = {"/r"}}));
  engine.drop_event_streams();
  while (engine.container("late")) {
    clock.advance(1s);
    std::this_thread::yield();
  }
  CHECK(engine.container("other"));
}

TEST_CASE_METHOD(TaskFixture, "tasks of people are listed on request only") {
  task::TaskConfig wanted = config();
  wanted.local = true;
  run(wanted);
  run(config("2"));
  CHECK(tasks().list(false).size() == 1);
  CHECK(tasks().list(true).size() == 2);
}

TEST_CASE_METHOD(TaskFixture, "the owner of the machine is told what was asked for, when, and where its runner is") {
  const auto submitted_at =
      std::chrono::duration_cast<std::chrono::milliseconds>(clock.wall().time_since_epoch()).count();
  run();
  clock.advance(5min);
  task::TaskConfig in_host_network = config("2");
  in_host_network.network_mode = docker::NetworkMode::host;
  run(in_host_network);
  restart();
  const auto all = tasks().details();
  REQUIRE(all.size() == 2);
  CHECK(all[0].name == "job");
  CHECK(all[0].image_name == "app:1");
  CHECK_FALSE(all[0].local);
  CHECK(all[0].submitted_at == submitted_at);
  CHECK(all[1].submitted_at == submitted_at + 300'000);
  const auto ports = tasks().info("1").ports.value();
  const auto http = std::ranges::find(ports, 10999, &docker::PortMapping::container);
  REQUIRE(http != ports.end());
  CHECK(all[0].runner_port == http->host);
  CHECK(all[1].runner_port == 10999);
  terminate("1");
  CHECK_FALSE(tasks().details()[0].runner_port);
}

TEST_CASE_METHOD(TaskFixture, "a task that is to go when it has ended goes, however it ended") {
  task::TaskConfig wanted = config();
  wanted.remove_when_ended = true;
  run(wanted);
  CHECK(terminate().status == TaskStatus::terminated);
  await([&] { return tasks().list(true).empty(); });
  CHECK_FALSE(engine.container(container()));
  CHECK(std::filesystem::is_empty(home / "tasks"));

  run(wanted);
  engine.end_container(container(), 3);
  await([&] { return tasks().list(true).empty(); });
  CHECK_FALSE(engine.container(container()));
}

TEST_CASE_METHOD(TaskFixture, "a job's output can be read until its task is removed") {
  run();
  CHECK_THROWS_MATCHES(tasks().output("1", 0, 100), Error,
                       Catch::Matchers::MessageMatches(Catch::Matchers::ContainsSubstring("no job has begun")));
  std::ofstream(home / "runners" / container() / "job.log") << "output";
  CHECK(tasks().output("1", 3, 100) == "put");
  terminate();
  CHECK(tasks().output("1", 0, 100) == "output");
  tasks().remove("1");
  CHECK_THROWS_AS(tasks().output("1", 0, 100), Error);
}

TEST_CASE_METHOD(TaskFixture, "missing instance folders are made, existing ones stay as they are") {
  const std::filesystem::path existing = folder / "existing";
  std::filesystem::create_directory(existing);
  REQUIRE(::chmod(existing.c_str(), 0711) == 0);
  task::TaskConfig wanted = config();
  wanted.instance_mounts = {{.instance_path = folder / "new/parent/leaf", .path = "/a"},
                            {.instance_path = folder / "slash/at-the-end/", .path = "/c"},
                            {.instance_path = existing, .path = "/b"}};
  run(wanted);
  const auto mode = [](const std::filesystem::path& path) {
    return static_cast<unsigned>(std::filesystem::status(path).permissions());
  };
  CHECK(mode(folder / "new/parent") == 0755);
  CHECK(mode(folder / "new/parent/leaf") == 0777);
  CHECK(mode(folder / "slash") == 0755);
  CHECK(mode(folder / "slash/at-the-end") == 0777);
  CHECK(mode(existing) == 0711);
}

TEST_CASE_METHOD(TaskFixture, "two tasks hold the same key until both are gone") {
  const std::filesystem::path file = folder / "user/.ssh/authorized_keys";
  std::filesystem::create_directory(folder / "user");
  for (const char* id : {"1", "2"}) {
    task::TaskConfig wanted = config(id);
    wanted.host_ssh_user = "somebody";
    wanted.host_ssh_keys = {"ssh-ed25519 AAAA me"};
    run(wanted);
  }
  CHECK(os::read_file(file) == "ssh-ed25519 AAAA me # added by dstack-shim\n");
  terminate("1");
  CHECK(os::read_file(file) == "ssh-ed25519 AAAA me # added by dstack-shim\n");
  terminate("2");
  CHECK(os::read_file(file).empty());
}

TEST_CASE_METHOD(TaskFixture, "a task's container is known from before its start until its end, after a restart too") {
  std::vector<host::TaskContainer> at_start;
  engine.on("POST /containers/*", [&](const FakeEngine::Request& request, FakeEngine::Reply& reply) {
    if (request.path.ends_with("/start")) at_start = tasks().containers();
    engine.as_usual(request, reply);
  });
  CHECK(tasks().containers().empty());
  task::TaskConfig in_host = config("2");
  in_host.network_mode = docker::NetworkMode::host;
  const std::string first = run().container_id;
  REQUIRE(at_start.size() == 1);
  CHECK(at_start[0].id == first);
  const std::string second = run(in_host).container_id;
  for (int process_number = 0; process_number < 2; ++process_number) {
    const auto known = tasks().containers();
    REQUIRE(known.size() == 2);
    CHECK(known[0].id == first);
    CHECK_FALSE(known[0].host_network);
    CHECK(known[1].id == second);
    CHECK(known[1].host_network);
    restart();
  }
  terminate("1");
  terminate("2");
  CHECK(tasks().containers().empty());
}

TEST_CASE_METHOD(TaskFixture, "keys that cannot be removed do not keep a task from ending, nor its GPUs") {
  const std::filesystem::path file = folder / "user/.ssh/authorized_keys";
  std::filesystem::create_directory(folder / "user");
  task::TaskConfig wanted = config();
  wanted.gpu = 2;
  wanted.host_ssh_user = "somebody";
  wanted.host_ssh_keys = {"ssh-ed25519 AAAA me"};
  run(wanted);
  std::filesystem::remove(file);
  std::filesystem::create_directory(file);
  CHECK(terminate().status == TaskStatus::terminated);
  CHECK(gpus.free() == 2);
  CHECK(keys_left == 1);
  tasks().remove("1");
  CHECK(tasks().list(true).empty());
}

TEST_CASE_METHOD(TaskFixture, "keys that cannot be added end the task, which gives its GPUs back") {
  std::filesystem::create_directories(folder / "user/.ssh/authorized_keys");
  task::TaskConfig wanted = config();
  wanted.gpu = 2;
  wanted.host_ssh_user = "somebody";
  wanted.host_ssh_keys = {"ssh-ed25519 AAAA me"};
  CHECK(run(wanted).termination_reason == "executor_error");
  CHECK(gpus.free() == 2);
}

TEST_CASE_METHOD(TaskFixture, "an exit status of 0 is done, whatever the engine says of memory") {
  run();
  engine.end_container(container(), 0, true);
  CHECK(await_status(TaskStatus::terminated).termination_reason == "done_by_runner");
}

TEST_CASE_METHOD(TaskFixture, "root is uid 0 to the engine, and processes are limited") {
  run();
  const auto body = nlohmann::json::parse(engine.container(container())->create_body);
  CHECK(body.at("User") == "0");
  CHECK(body.at("HostConfig").at("PidsLimit") == 32768);
  task::TaskConfig wanted = config("2");
  wanted.container_user = "nobody:root";
  run(wanted);
  CHECK(nlohmann::json::parse(engine.container(container("2"))->create_body).at("User") == "nobody:0");
}

TEST_CASE_METHOD(TaskFixture, "an image that was removed before the container was made is pulled once more") {
  engine.on(
      "POST /containers/create",
      [&](const FakeEngine::Request& request, FakeEngine::Reply& reply) {
        engine.remove_image("app:1");
        engine.as_usual(request, reply);
      },
      1);
  CHECK(run().status == TaskStatus::running);
  CHECK(engine.count("POST /images/create") == 1);
}

TEST_CASE_METHOD(TaskFixture, "a name without content for this platform is pulled, once") {
  engine.on("POST /containers/create",
            fail(404, "image with reference app:1 was found but does not provide any platform"));
  const task::TaskInfo ended = run();
  CHECK(ended.termination_reason == "creating_container_error");
  CHECK(ended.termination_message.contains("does not provide any platform"));
  CHECK(engine.count("POST /images/create") == 1);
  CHECK(engine.count("POST /containers/create") == 2);
}

// A suspended host is one of these: its monotonic clock stands still, and after the resume the wall clock is ahead.
TEST_CASE_METHOD(TaskFixture, "a wall clock that jumps costs no task, and moves no deadline of its end") {
  const auto jump = GENERATE(std::chrono::years(4), -std::chrono::years(4));
  run();
  clock.set_wall(clock.wall() + jump);
  restart();
  CHECK(tasks().info("1").status == TaskStatus::running);
  engine.on("POST /containers/*", hang());
  auto ended = terminate_meanwhile();
  engine.await("POST /containers/" + tasks().info("1").container_id + "/kill");
  clock.await_deadline_within(8s);
  clock.set_wall(clock.wall() - 2 * jump);
  clock.advance(8s);
  CHECK_THROWS_AS(ended.get(), Error);
  engine.behave();
  while (tasks().info("1").status == TaskStatus::running) {
    clock.advance(1s);
    std::this_thread::yield();
  }
  CHECK(tasks().info("1").termination_reason == "aborted_by_user");
  tasks().remove("1");
  clock.set_wall(clock.wall() + jump);
  CHECK(run(config("2")).status == TaskStatus::running);
}
