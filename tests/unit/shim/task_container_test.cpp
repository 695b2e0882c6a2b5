#include <fcntl.h>
#include <sys/file.h>

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "common/termination_reason.h"
#include "tests/unit/shim/task_fixture.h"

using namespace dstack;
using namespace dstack::shim;
using Json = nlohmann::json;

namespace {

struct ContainerFixture : TaskFixture {
  static task::TaskConfig local(const std::string& id, task::ProcessKind process = task::ProcessKind::image) {
    task::TaskConfig config = TaskFixture::config(id);
    config.local = true;
    config.container.emplace();
    config.container->process = process;
    if (process == task::ProcessKind::image) config.container_user = "";
    return config;
  }
  static task::TaskConfig in_network(const std::string& id) {
    task::TaskConfig config = local(id);
    config.container->settings.network = "net";
    config.container->settings.volumes = {{.name = "vol", .target = "/v"}};
    return config;
  }
  void remove(const std::string& id) {
    terminate(id);
    tasks().remove(id);
  }
  Json body(const std::string& id) const { return Json::parse(engine.container(container(id))->create_body); }
};

}  // namespace

TEST_CASE_METHOD(ContainerFixture, "a plain task needs no runner, and its end is that of its container") {
  std::filesystem::remove(runner);
  run(local("1"));
  CHECK_FALSE(std::filesystem::exists(home / "runners" / container("1")));
  engine.await_listeners();
  engine.end_container(container("1"), 3);
  const task::TaskInfo info = await_status(TaskStatus::terminated);
  CHECK(info.termination_reason == dstack::termination_reason::kContainerExitedWithError);
  const task::TaskInspection inspection = tasks().inspect("1");
  CHECK(inspection.details.exit_code == 3);
  CHECK(inspection.details.ended_in == TaskStatus::running);
  CHECK(inspection.address == "172.18.0.2");
  CHECK(inspection.health == "none");
  CHECK(inspection.digest == "sha256:0123");
  REQUIRE(inspection.image);
  CHECK(inspection.image->id == "sha256:abcd");
  CHECK(inspection.image->user == "app");
  CHECK(inspection.image->exposed_ports == std::vector<std::string>{"8000/tcp"});
}

TEST_CASE_METHOD(ContainerFixture, "a plain task is taken up again after a restart, and so is what it used") {
  run(in_network("1"));
  restart();
  CHECK(tasks().info("1").status == TaskStatus::running);
  CHECK(engine.resources("network").contains("net"));
  remove("1");
  CHECK_FALSE(engine.container(container("1")));
  CHECK(engine.resources("network").empty());
  CHECK(engine.resources("volume").empty());
}

TEST_CASE_METHOD(ContainerFixture, "a network and a volume go with the last task that uses them") {
  run(in_network("1"));
  run(in_network("2"));
  CHECK(engine.count("POST /networks/create") == 1);
  CHECK(engine.count("POST /volumes/create") == 1);
  remove("1");
  CHECK(engine.resources("network").contains("net"));
  CHECK(engine.resources("volume").contains("vol"));
  remove("2");
  CHECK(engine.resources("network").empty());
  CHECK(engine.resources("volume").empty());
}

TEST_CASE_METHOD(ContainerFixture, "a network and a volume that were there, and a volume that is kept, stay") {
  engine.add_resource("network", "net");
  engine.add_resource("network", "network");  // a name that holds the other
  engine.add_resource("volume", "vol", {{docker::kHomeLabel, "/another/home"}});
  task::TaskConfig config = in_network("1");
  config.container->settings.volumes.push_back({.name = "cache", .target = "/cache"});
  config.container->kept_volumes = {"cache"};
  run(std::move(config));
  CHECK(engine.count("POST /networks/create") == 0);
  remove("1");
  CHECK(engine.resources("network").size() == 2);
  CHECK(engine.resources("volume").contains("vol"));
  CHECK(engine.resources("volume").contains("cache"));
}

TEST_CASE_METHOD(ContainerFixture, "a network that cannot be removed holds nothing up, and goes later") {
  run(in_network("1"));
  engine.use_resource("network", "net", true);
  remove("1");
  CHECK(engine.resources("network").contains("net"));
  CHECK_THROWS_AS(tasks().info("1"), Error);
  engine.use_resource("network", "net", false);
  SECTION("with the next task that ends") {
    task::TaskConfig other = local("2");
    other.container->settings.volumes = {{.name = "other", .target = "/v"}};
    run(std::move(other));
    remove("2");
  }
  SECTION("at the next start") { restart(); }
  await([&] { return engine.resources("network").empty(); });
}

TEST_CASE_METHOD(ContainerFixture, "a file or folder to mount that is not there is an executor_error") {
  task::TaskConfig config = local("1");
  config.container->mounts = {{.source = (folder / "absent").string(), .target = "/x"}};
  const task::TaskInfo info = run(std::move(config));
  CHECK(info.termination_reason == dstack::termination_reason::kExecutorError);
  CHECK(info.termination_message.contains("absent"));
  CHECK(tasks().inspect("1").details.ended_in == TaskStatus::preparing);
}

TEST_CASE_METHOD(ContainerFixture, "a held task's runner gets a token, which is in the journal and nowhere else") {
  task::TaskConfig config = local("1", task::ProcessKind::hold);
  config.container_user = "app";
  run(std::move(config));
  const std::string token = tasks().inspect("1").runner_token.reveal();
  CHECK(token.size() == 64);
  CHECK(journal("1")["runner_token"] == token);
  const auto file = home / "runners" / container("1") / "token";
  CHECK(os::read_file(file) == token);
  CHECK((std::filesystem::status(file).permissions() & std::filesystem::perms::mask) ==
        (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
  CHECK_FALSE(body("1").dump().contains(token));
  CHECK(body("1")["User"] == "0");
  CHECK(body("1")["HostConfig"]["PortBindings"].size() == 1);
  restart();
  CHECK(tasks().inspect("1").runner_token.reveal() == token);
}

TEST_CASE_METHOD(ContainerFixture, "an environment is in no journal") {
  task::TaskConfig config = local("1");
  config.container->settings.environment = {{"PASSWORD", "hunter2"}};
  run(std::move(config));
  CHECK(body("1")["Env"] == Json{"PASSWORD=hunter2"});
  CHECK_FALSE(journal("1").dump().contains("hunter2"));
}

TEST_CASE_METHOD(ContainerFixture, "a plain task's output is what the engine kept, in pieces") {
  run(local("1"));
  engine.set_output(container("1"), "0123456789");
  CHECK(tasks().output("1", 0, 100) == "0123456789");
  CHECK(tasks().output("1", 3, 4) == "3456");
  CHECK(tasks().output("1", 10, 4).empty());
  CHECK(tasks().output("1", 99, 4).empty());
}

TEST_CASE_METHOD(ContainerFixture, "a task is removed when nothing has held its owner's file for a minute") {
  const auto with_owner = [this](const std::string& id) {
    const std::string file = (folder / ("owner-" + id)).string();
    std::ofstream(file) << "";
    task::TaskConfig config = local(id);
    config.container->owner = file;
    run(std::move(config));
    return file;
  };
  with_owner("1");
  const os::UniqueFd holder = os::open_file(with_owner("2"), O_RDWR);
  REQUIRE(::flock(holder.get(), LOCK_EX) == 0);
  run(local("3"));
  const os::SteadyTime begin = clock.now();
  await([&] {
    clock.advance(1s);
    return tasks().list(true).size() == 2;
  });
  CHECK(clock.now() - begin >= 60s);
  CHECK(tasks().info("2").status == TaskStatus::running);
  CHECK(tasks().info("3").status == TaskStatus::running);
  CHECK_FALSE(engine.container(container("1")));
}
