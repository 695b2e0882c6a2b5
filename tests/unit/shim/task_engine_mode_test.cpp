#include <unistd.h>

#include "tests/unit/shim/task_fixture.h"

namespace dstack::shim {

namespace {

struct Fixture : TaskFixture {
  void engine_says(const std::string& info) {
    engine.on("GET /info", [info](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.answer(200, info); });
  }
  nlohmann::json host_config() const {
    return nlohmann::json::parse(engine.container(container())->create_body)["HostConfig"];
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "an engine is asked how it runs once, and again when it was restarted") {
  run();
  run(config("2"));
  CHECK(engine.count("GET /info") == 1);
  CHECK_FALSE(host_config().contains("UsernsMode"));
  engine_says(R"({"SecurityOptions": ["name=userns"]})");
  process->client.connect();
  run(config("3"));
  CHECK(nlohmann::json::parse(engine.container(container("3"))->create_body)["HostConfig"]["UsernsMode"] == "host");
}

TEST_CASE_METHOD(Fixture, "with userns-remap a task runs in the host's user namespace") {
  engine_says(R"({"SecurityOptions": ["name=seccomp,profile=default", "name=userns"]})");
  CHECK(run().status == TaskStatus::running);
  CHECK(host_config()["UsernsMode"] == "host");
}

TEST_CASE_METHOD(Fixture,
                 "an engine that refuses the host's user namespace is told by the setting that has to change") {
  engine_says(R"({"SecurityOptions": ["name=userns"]})");
  const auto refuse = [](const FakeEngine::Request&, FakeEngine::Reply& reply) {
    reply.error(403, "authorization denied by plugin policy: not allowed");
  };
  engine.on("POST /containers/create", refuse, 1);
  task::TaskInfo info = run();
  CHECK(info.termination_reason == "creating_container_error");
  CHECK(info.termination_message.contains("authorization denied by plugin policy"));
  CHECK(info.termination_message.contains("\"userns-remap\" from /etc/docker/daemon.json"));
  engine.on("POST /containers/*", refuse, 0);
  engine.on("POST /containers/create", [this](const auto& request, auto& reply) { engine.as_usual(request, reply); });
  info = run(config("2"));
  CHECK(info.termination_reason == "container_exited_with_error");
  CHECK(info.termination_message.contains("userns-remap"));
}

TEST_CASE_METHOD(Fixture, "under SELinux a container is not separated from what it mounts") {
  engine_says(R"({"SecurityOptions": ["name=selinux"]})");
  CHECK(run().status == TaskStatus::running);
  CHECK(host_config()["SecurityOpt"] == nlohmann::json{"label=disable"});
}

TEST_CASE_METHOD(Fixture, "a rootless engine makes no containers for root's shim, and the task says what to do") {
  if (::geteuid() != 0) return;
  engine_says(R"({"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]})");
  const task::TaskInfo info = run();
  CHECK(info.termination_reason == "creating_container_error");
  CHECK(info.termination_message.contains("rootless"));
  CHECK(info.termination_message.contains("DOCKER_HOST"));
  CHECK(engine.count("POST /containers/create") == 0);
  CHECK(engine.count("POST /images/create") == 0);
}

TEST_CASE_METHOD(Fixture, "Docker from a snap is named where it refuses a container") {
  engine_says(R"({"DockerRootDir": "/var/snap/docker/common/var-lib-docker"})");
  engine.on("POST /containers/create", [](const FakeEngine::Request&, FakeEngine::Reply& reply) {
    reply.error(400,
                "invalid mount config for type \"bind\": bind source path does not exist: /root/.dstack/runners/job");
  });
  CHECK(run().termination_message.contains("snap remove docker"));
}

TEST_CASE_METHOD(Fixture, "an engine that does not say how it runs is taken for usual") {
  engine.on("GET /info", [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.error(500, "no"); });
  CHECK(run().status == TaskStatus::running);
}

}  // namespace dstack::shim
