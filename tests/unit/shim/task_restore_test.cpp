#include "tests/unit/shim/task_fixture.h"

using namespace dstack;
using namespace dstack::shim;

namespace {

void hang(const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.hang(); }

}  // namespace

TEST_CASE_METHOD(TaskFixture, "a running task is still running after a restart, and its end is seen") {
  const task::TaskInfo before = run();
  restart();
  const task::TaskInfo after = tasks().info("1");
  CHECK(after.status == TaskStatus::running);
  CHECK(after.ports == before.ports);
  CHECK(after.container_id == before.container_id);
  engine.await_listeners();
  engine.end_container(container(), 3);
  CHECK(await_status(TaskStatus::terminated).termination_reason == "container_exited_with_error");
}

TEST_CASE_METHOD(TaskFixture, "an end during the absence is seen with its last lines") {
  run();
  process.reset();
  engine.set_output(container(), "last words\n");
  engine.end_container(container(), 3);
  tasks();
  CHECK(await_status(TaskStatus::terminated).termination_message == "The container exited with status 3\nlast words");
}

TEST_CASE_METHOD(TaskFixture, "a container removed during the absence ends its task") {
  run();
  process.reset();
  engine.lose_container(container());
  tasks();
  CHECK(await_status(TaskStatus::terminated).termination_reason == "container_exited_with_error");
}

TEST_CASE_METHOD(TaskFixture, "a task that was cut off in its pull is terminated with a reason") {
  engine.on("POST /images/create", hang);
  task::TaskConfig wanted = config();
  wanted.image_name = "other:1";
  tasks().submit(wanted, Secret());
  engine.await("POST /images/create");
  restart();
  const task::TaskInfo ended = await_status(TaskStatus::terminated);
  CHECK(ended.termination_reason == "creating_container_error");
  CHECK(ended.termination_message == "dstack-shim was restarted while the task was pulling");
}

TEST_CASE_METHOD(TaskFixture, "a container that was made and not started is removed after a restart") {
  engine.on("POST /containers/0*", hang);
  tasks().submit(config(), Secret());
  await([&] { return engine.container(container()).has_value(); });
  engine.await("POST /containers/" + engine.container(container())->id + "/start");
  process.reset();
  engine.behave();
  tasks();
  CHECK(await_status(TaskStatus::terminated).termination_reason == "creating_container_error");
  CHECK(engine.containers().empty());
}

TEST_CASE_METHOD(TaskFixture,
                 "a container that had been started makes its task a running one, whatever the journal says") {
  run();
  process.reset();
  nlohmann::json old = journal();
  old["status"] = "creating";
  old["container_id"] = "";
  old["ports"] = nullptr;
  os::write_file_atomic(home / "tasks" / container() / "task.json", old.dump(), 0600);
  tasks();
  const task::TaskInfo info = tasks().info("1");
  CHECK(info.status == TaskStatus::running);
  CHECK(info.container_id == engine.container(container())->id);
  CHECK(info.ports->size() == 2);
}

TEST_CASE_METHOD(TaskFixture, "a terminate that was cut off goes on after a restart, with its reason") {
  run();
  engine.on("POST /containers/*", hang);
  auto cut_off = terminate_meanwhile();
  engine.await("POST /containers/" + tasks().info("1").container_id + "/kill");
  process->tasks.shut_down();
  CHECK_THROWS_AS(cut_off.get(), Error);
  process.reset();
  engine.behave();
  tasks();
  const task::TaskInfo ended = await_status(TaskStatus::terminated);
  CHECK(ended.termination_reason == "aborted_by_user");
  CHECK(ended.termination_message == "enough");
}

TEST_CASE_METHOD(TaskFixture, "a removal that was cut off goes on after a restart") {
  run();
  terminate();
  engine.on("DELETE /containers/*", hang);
  auto cut_off = std::async(std::launch::async, [this] { tasks().remove("1"); });
  engine.await("DELETE /containers/" + tasks().info("1").container_id);
  process->tasks.shut_down();
  CHECK_THROWS_AS(cut_off.get(), Error);
  process.reset();
  engine.behave();
  tasks();
  await([&] { return tasks().list(true).empty(); });
  CHECK(engine.containers().empty());
  CHECK(std::filesystem::is_empty(home / "tasks"));
}

TEST_CASE_METHOD(TaskFixture, "what a task held is held again, and given back once") {
  std::filesystem::create_directory(folder / "user");
  task::TaskConfig wanted = config();
  wanted.gpu = 1;
  wanted.volumes = {{.backend = "aws", .name = "v"}};
  wanted.host_ssh_user = "somebody";
  wanted.host_ssh_keys = {"ssh-ed25519 AAAA me"};
  run(wanted);
  restart();
  CHECK(gpus.free() == 1);
  CHECK(volumes.restores == 1);
  terminate();
  CHECK(gpus.free() == 2);
  CHECK(volumes.unmounts == 1);
  CHECK(os::read_file(folder / "user/.ssh/authorized_keys").empty());
  restart();
  CHECK(gpus.free() == 2);
  CHECK(volumes.unmounts == 1);
  CHECK(tasks().info("1").termination_reason == "aborted_by_user");
}

TEST_CASE_METHOD(TaskFixture, "a container of the reference shim is taken over, one of another home is not") {
  tasks();
  process.reset();
  docker::EngineClient reference(docker::engine_at_socket(engine.socket_path()));
  std::filesystem::create_directories(home / "runners/theirs");
  const auto make = [&](const std::string& name, const std::filesystem::path& runners) {
    const std::string id = reference.create(name, docker::create_body({.task_id = name,
                                                                       .image = "app:1",
                                                                       .network = docker::NetworkMode::bridge,
                                                                       .runner_folder = runners / name,
                                                                       .command = {"/r"},
                                                                       .published_ports = {10999}}));
    reference.start(id);
    return id;
  };
  const std::string id = make("theirs", home / "runners");
  make("foreign", "/elsewhere/runners");

  tasks();
  CHECK(tasks().list(true).size() == 1);
  const task::TaskInfo info = tasks().info("theirs");
  CHECK(info.status == TaskStatus::running);
  CHECK(info.container_name == "theirs");
  CHECK(info.container_id == id);
  CHECK(info.ports->size() == 1);
  terminate("theirs");
  tasks().remove("theirs");
  CHECK(engine.containers().size() == 1);
  CHECK_FALSE(std::filesystem::exists(home / "runners/theirs"));
}

TEST_CASE_METHOD(TaskFixture, "a false journal in the folder of a job is not read") {
  run();
  std::ofstream(home / "runners" / container() / "task.json") << R"({"config":{"id":"evil"},"status":"terminated"})";
  restart();
  CHECK(tasks().list(true).size() == 1);
  CHECK(tasks().info("1").status == TaskStatus::running);
}

TEST_CASE_METHOD(TaskFixture, "an engine that cannot be asked keeps the shim from starting") {
  run();
  process.reset();
  engine.die();
  CHECK_THROWS_AS(tasks(), Error);
  process.reset();
  engine.revive();
  CHECK(tasks().info("1").status == TaskStatus::running);
}

TEST_CASE_METHOD(TaskFixture, "an end by a restart of the host is told as such") {
  run();
  process.reset();
  nlohmann::json old = journal();
  CHECK_FALSE(old.at("boot_id").get<std::string>().empty());
  old["boot_id"] = "the boot before";
  os::write_file_atomic(home / "tasks" / container() / "task.json", old.dump(), 0600);
  engine.set_output(container(), "last words\n");
  engine.end_container(container(), 255);
  tasks();
  CHECK(await_status(TaskStatus::terminated).termination_message ==
        "The host was restarted while the task was running\nThe container exited with status 255\nlast words");
}

TEST_CASE_METHOD(TaskFixture, "a journal that cannot be read is set aside, and its container taken over") {
  const std::string id = run().container_id;
  run(config("2"));
  process.reset();
  const std::filesystem::path path = home / "tasks" / container() / "task.json";
  std::filesystem::remove(path.string() + ".flushed");
  SECTION("another version's") { os::write_file_atomic(path, R"({"config": 5})", 0600); }
  SECTION("a FIFO") {
    std::filesystem::remove(path);
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  }
  for (int start = 0; start < 2; ++start) {
    restart();
    CHECK(tasks().list(true).size() == 2);
    CHECK(tasks().info("1").status == TaskStatus::running);
    CHECK(tasks().info("1").container_id == id);
  }
  CHECK(std::filesystem::exists(home / "tasks" / (container() + ".unreadable") / "task.json"));
  terminate();
  tasks().remove("1");
}

TEST_CASE_METHOD(TaskFixture, "a container that cannot be looked at keeps no task from being restored") {
  run();
  const std::string id = run(config("2")).container_id;
  process.reset();
  std::filesystem::remove_all(home / "tasks" / container("2"));
  engine.on(
      "GET /containers/" + id + "/json",
      [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.error(500, "no"); }, 1);
  tasks();
  CHECK(tasks().info("1").status == TaskStatus::running);
  CHECK(tasks().info("2").status == TaskStatus::running);
}
