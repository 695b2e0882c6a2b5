#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "shim/docker/container_spec.h"

using namespace dstack::shim::docker;
using nlohmann::json;

namespace {

// A task of a server, with one of everything.
ContainerSpec of_a_server() {
  return {.task_id = "the-id",
          .image = "busybox:1",
          .user = "0",
          .privileged = true,
          .cpu = 1.5,
          .memory = 1 << 20,
          .shm_size = 1 << 16,
          .pids_limit = 32768,
          .network = NetworkMode::bridge,
          .runner_folder = "/home/x/.dstack/runners/n",
          .runner_binary = "/usr/local/bin/dstack-runner",
          .mounts = {{.source = "/data", .target = "/data"}},
          .environment = {"A=1"},
          .command = runner_command({.authorized_keys = {"key"}}),
          .published_ports = {10999, 10022},
          .infiniband = true};
}

ContainerSpec plain(ContainerSettings settings) {
  return {.task_id = "the-id",
          .image = "app:1",
          .environment = {"A=1", "B=2"},
          .home = "/home/x/.dstack",
          .settings = std::move(settings)};
}

}  // namespace

TEST_CASE("a server's task has the create body that it always had, to the byte") {
  CHECK(
      create_body(of_a_server()).dump() ==
      R"({"Cmd":["--log-level","info","start","--temp-dir","/tmp/runner","--http-port","10999","--ssh-port","10022",)"
      R"("--ssh-authorized-key","key"],"Entrypoint":["/usr/local/bin/dstack-runner"],"Env":["A=1"],)"
      R"("ExposedPorts":{"10022/tcp":{},"10999/tcp":{}},"HostConfig":{"Devices":[{"CgroupPermissions":"rwm",)"
      R"("PathInContainer":"/dev/infiniband","PathOnHost":"/dev/infiniband"}],"LogConfig":{"Config":{"max-file":"3",)"
      R"("max-size":"10m"},"Type":"json-file"},"Memory":1048576,"Mounts":[{"ReadOnly":false,)"
      R"("Source":"/home/x/.dstack/runners/n","Target":"/tmp/runner","Type":"bind"},{"ReadOnly":true,)"
      R"("Source":"/usr/local/bin/dstack-runner","Target":"/usr/local/bin/dstack-runner","Type":"bind"},)"
      R"({"ReadOnly":false,"Source":"/data","Target":"/data","Type":"bind"}],"NanoCpus":1500000000,)"
      R"("NetworkMode":"bridge","PidsLimit":32768,"PortBindings":{"10022/tcp":[{"HostIp":"127.0.0.1","HostPort":""}],)"
      R"("10999/tcp":[{"HostIp":"127.0.0.1","HostPort":""}]},"Privileged":true,"ShmSize":65536,)"
      R"("Tmpfs":{"/dev/shm":"exec,size=65536"},"Ulimits":[{"Hard":-1,"Name":"memlock","Soft":-1}]},)"
      R"("Image":"busybox:1","Labels":{"ai.dstack.shim.is-task":"true","ai.dstack.shim.task-id":"the-id"},"User":"0"})");
}

TEST_CASE("a plain task has the image's process, no runner, and a label that names the home") {
  const json body = create_body(plain({}));
  for (const char* absent : {"Entrypoint", "Cmd", "User", "WorkingDir", "OpenStdin", "Tty", "Healthcheck"}) {
    CAPTURE(absent);
    CHECK_FALSE(body.contains(absent));
  }
  CHECK(body["HostConfig"]["Mounts"] == json::array());
  CHECK(body["Labels"]["ai.dstack.shim.home"] == "/home/x/.dstack");
  CHECK(body["HostConfig"]["LogConfig"]["Config"]["max-size"] == "10m");
}

TEST_CASE("a task's own environment comes over the shim's, each name once") {
  const json body = create_body(plain({.environment = {{"B", "3"}, {"C", "x=y"}}}));
  CHECK(body["Env"] == json{"A=1", "B=3", "C=x=y"});
}

TEST_CASE("an entry point alone drops the image's command, a command alone keeps its entry point") {
  const json first = create_body(plain({.entrypoint = {"/bin/sh"}}));
  CHECK(first["Entrypoint"] == json{"/bin/sh"});
  CHECK_FALSE(first.contains("Cmd"));
  const json second =
      create_body(plain({.command = {"-c", "true"}, .working_dir = "/srv", .stdin_open = true, .tty = true}));
  CHECK_FALSE(second.contains("Entrypoint"));
  CHECK(second["Cmd"] == json{"-c", "true"});
  CHECK(second["WorkingDir"] == "/srv");
  CHECK(second["OpenStdin"] == true);
  CHECK(second["Tty"] == true);
}

TEST_CASE("network, aliases, volumes and ports of a task") {
  const json body = create_body(
      plain({.volumes = {{.name = "data", .target = "/data"}},
             .network = "net",
             .aliases = {"db", "postgres"},
             .ports = {{.container = 80, .host = 8080}, {.container = 80}, {.container = 53, .protocol = "udp"}}}));
  const json& host = body["HostConfig"];
  CHECK(host["NetworkMode"] == "net");
  CHECK(body["NetworkingConfig"]["EndpointsConfig"] == json{{"net", {{"Aliases", {"db", "postgres"}}}}});
  CHECK(host["Mounts"] == json::parse(R"([{"Type":"volume","Source":"data","Target":"/data","ReadOnly":false}])"));
  CHECK(host["PortBindings"] == json::parse(R"({
    "80/tcp":[{"HostIp":"127.0.0.1","HostPort":"8080"},{"HostIp":"127.0.0.1","HostPort":""}],
    "53/udp":[{"HostIp":"127.0.0.1","HostPort":""}]})"));
  CHECK(body["ExposedPorts"] == json::parse(R"({"80/tcp":{},"53/udp":{}})"));
}

TEST_CASE("a health check is the engine's, in nanoseconds; what is not given is the image's") {
  const auto check = [](HealthCheck health) { return create_body(plain({.health = health}))["Healthcheck"]; };
  CHECK(check({.test = "pg_isready", .interval = 1.5, .timeout = 2, .retries = 3, .start_period = 0}) ==
        json::parse(R"({"Test":["CMD-SHELL","pg_isready"],"Interval":1500000000,"Timeout":2000000000,"Retries":3,
                        "StartPeriod":0})"));
  CHECK(check({.interval = 1}) == json::parse(R"({"Interval":1000000000})"));
  CHECK(check({.none = true}) == json::parse(R"({"Test":["NONE"]})"));
}

TEST_CASE("host name, hosts, labels, limits, tmpfs and capabilities of a task join what is there already") {
  ContainerSpec spec =
      plain({.hostname = "box",
             .hosts = {{"db", "10.0.0.7"}},
             .labels = {{"team", "ml"}},
             .ulimits = {{.name = "memlock", .soft = 5, .hard = 6}, {.name = "nofile", .soft = 1, .hard = 2}},
             .tmpfs = {{"/scratch", "size=64m"}},
             .added_capabilities = {"NET_ADMIN"}});
  spec.infiniband = true;
  spec.shm_size = 4096;
  spec.gpus.added_capabilities = {"SYS_PTRACE"};
  const json body = create_body(spec);
  const json& host = body["HostConfig"];
  CHECK(body["Hostname"] == "box");
  CHECK(host["ExtraHosts"] == json{"db:10.0.0.7"});
  CHECK(body["Labels"]["team"] == "ml");
  CHECK(body["Labels"]["ai.dstack.shim.is-task"] == "true");
  CHECK(host["Ulimits"] ==
        json::parse(R"([{"Name":"memlock","Soft":5,"Hard":6},{"Name":"nofile","Soft":1,"Hard":2}])"));
  CHECK(host["Tmpfs"] == json::parse(R"({"/dev/shm":"exec,size=4096","/scratch":"size=64m"})"));
  CHECK(host["CapAdd"] == json{"SYS_PTRACE", "NET_ADMIN"});
}

TEST_CASE("a runner that holds its container is told so, and where its token is") {
  const std::vector<std::string> command = runner_command({.token_file = "/tmp/runner/token"});
  CHECK(std::vector<std::string>(command.end() - 3, command.end()) ==
        std::vector<std::string>{"--hold", "--token-file", "/tmp/runner/token"});
}
