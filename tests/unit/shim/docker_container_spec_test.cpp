#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "shim/docker/container_spec.h"
#include "tests/support/temporary_directory.h"

using namespace dstack::shim::docker;
using nlohmann::json;

namespace {

ContainerSpec plain() {
  return {.task_id = "the-id",
          .image = "busybox:1",
          .user = "root",
          .runner_folder = "/home/x/.dstack/runners/n",
          .runner_binary = "/usr/local/bin/dstack-runner",
          .command = runner_command({}),
          .published_ports = {10999, 10022}};
}

}  // namespace

TEST_CASE("a plain task's container") {
  const json body = create_body(plain());
  CHECK(body["Image"] == "busybox:1");
  CHECK(body["User"] == "root");
  CHECK(body["Labels"] == json{{"ai.dstack.shim.is-task", "true"}, {"ai.dstack.shim.task-id", "the-id"}});
  CHECK(body["Env"] == json::array());
  const json& host = body["HostConfig"];
  CHECK(host["NetworkMode"] == "host");
  CHECK(host["Privileged"] == false);
  CHECK(host["NanoCpus"] == 0);
  CHECK(host["Memory"] == 0);
  CHECK(host["LogConfig"] == json::parse(R"({"Type":"json-file","Config":{"max-size":"10m","max-file":"3"}})"));
  CHECK(host["Mounts"] == json::parse(R"([
    {"Type":"bind","Source":"/home/x/.dstack/runners/n","Target":"/tmp/runner","ReadOnly":false},
    {"Type":"bind","Source":"/usr/local/bin/dstack-runner","Target":"/usr/local/bin/dstack-runner","ReadOnly":true}])"));
  for (const char* absent : {"ShmSize", "Tmpfs", "Devices", "Ulimits", "PortBindings", "DeviceRequests", "CapAdd",
                             "SecurityOpt", "Runtime", "IpcMode"}) {
    CAPTURE(absent);
    CHECK_FALSE(host.contains(absent));
  }
  CHECK_FALSE(body.contains("ExposedPorts"));
}

TEST_CASE("the size of a container's own layer is limited only where that is wanted") {
  CHECK_FALSE(create_body(plain())["HostConfig"].contains("StorageOpt"));
  ContainerSpec spec = plain();
  spec.disk_limit = std::int64_t{20} << 30;
  CHECK(create_body(spec)["HostConfig"]["StorageOpt"] == json{{"size", "21474836480"}});
}

TEST_CASE("the runner is started as an argument vector") {
  const json body = create_body(plain());
  CHECK(body["Entrypoint"] == json{"/usr/local/bin/dstack-runner"});
  CHECK(body["Cmd"] == json{"--log-level", "info", "start", "--temp-dir", "/tmp/runner", "--http-port", "10999",
                            "--ssh-port", "10022"});
}

TEST_CASE("the runner's options come in the contract's order") {
  CHECK(runner_command({.log_level = "debug",
                        .http_port = 1,
                        .ssh_port = 2,
                        .http_address = "localhost",
                        .authorized_keys = {"ssh-ed25519 A '\"$(x)", "-k"},
                        .ssh_log_level = "error"}) ==
        std::vector<std::string>{"/usr/local/bin/dstack-runner", "--log-level", "debug", "start", "--temp-dir",
                                 "/tmp/runner", "--http-port", "1", "--ssh-port", "2", "--http-address", "localhost",
                                 "--ssh-authorized-key", "ssh-ed25519 A '\"$(x)", "--ssh-authorized-key", "-k",
                                 "--ssh-log-level", "error"});
}

TEST_CASE("limits of CPU and memory") {
  ContainerSpec spec = plain();
  spec.cpu = 0.29;
  spec.memory = std::int64_t{3} << 30;
  const json host = create_body(spec)["HostConfig"];
  CHECK(host["NanoCpus"] == 290000000);
  CHECK(host["Memory"] == 3221225472);
}

TEST_CASE("shared memory has its size and may hold programs") {
  ContainerSpec spec = plain();
  spec.shm_size = 1048576;
  const json host = create_body(spec)["HostConfig"];
  CHECK(host["ShmSize"] == 1048576);
  CHECK(host["Tmpfs"] == json{{"/dev/shm", "exec,size=1048576"}});
}

TEST_CASE("in bridge mode the runner's ports are published on the loopback interface") {
  ContainerSpec spec = plain();
  spec.network = NetworkMode::bridge;
  const json body = create_body(spec);
  CHECK(body["HostConfig"]["NetworkMode"] == "bridge");
  CHECK(body["ExposedPorts"] == json::parse(R"({"10999/tcp":{},"10022/tcp":{}})"));
  CHECK(
      body["HostConfig"]["PortBindings"] ==
      json::parse(
          R"({"10999/tcp":[{"HostIp":"127.0.0.1","HostPort":""}],"10022/tcp":[{"HostIp":"127.0.0.1","HostPort":""}]})"));
}

TEST_CASE("mounts and environment stay as they are, byte for byte") {
  ContainerSpec spec = plain();
  spec.mounts = {{.source = "/a b:c,d=\"e\"", .target = "/-x $(y)"}};
  spec.environment = {"A= x=\"y\" $(z)\n", "B"};
  const json body = create_body(spec);
  CHECK(body["HostConfig"]["Mounts"][2] ==
        json{{"Type", "bind"}, {"Source", "/a b:c,d=\"e\""}, {"Target", "/-x $(y)"}, {"ReadOnly", false}});
  CHECK(body["Env"] == json{"A= x=\"y\" $(z)\n", "B"});
}

TEST_CASE("an empty user is the image's own") {
  ContainerSpec spec = plain();
  spec.user.clear();
  CHECK_FALSE(create_body(spec).contains("User"));
}

TEST_CASE("InfiniBand brings its devices and unlimited locked memory") {
  ContainerSpec spec = plain();
  spec.infiniband = true;
  const json host = create_body(spec)["HostConfig"];
  CHECK(host["Devices"] ==
        json::parse(
            R"([{"PathOnHost":"/dev/infiniband","PathInContainer":"/dev/infiniband","CgroupPermissions":"rwm"}])"));
  CHECK(host["Ulimits"] == json::parse(R"([{"Name":"memlock","Soft":-1,"Hard":-1}])"));
}

TEST_CASE("what GPUs add is written down") {
  ContainerSpec spec = plain();
  spec.environment = {"A=1"};
  spec.infiniband = true;
  spec.gpus = {.devices = {{"/dev/kfd", "/dev/kfd"}},
               .nvidia_ids = {"GPU-1", "GPU-2"},
               .nvidia_capabilities = {"gpu", "compute"},
               .mounts = {{.source = "/dev/hugepages-1G", .target = "/dev/hugepages-1G"}},
               .environment = {"HABANA_VISIBLE_DEVICES=0"},
               .added_capabilities = {"SYS_NICE"},
               .security_options = {"seccomp=unconfined"},
               .runtime = "habana",
               .host_ipc = true};
  const json body = create_body(spec);
  const json& host = body["HostConfig"];
  CHECK(host["Devices"].size() == 2);
  CHECK(host["Devices"][0]["PathOnHost"] == "/dev/kfd");
  CHECK(host["DeviceRequests"] ==
        json::parse(R"([{"Driver":"","Count":0,"DeviceIDs":["GPU-1","GPU-2"],"Capabilities":[["gpu","compute"]]}])"));
  CHECK(host["Mounts"][2]["Source"] == "/dev/hugepages-1G");
  CHECK(host["CapAdd"] == json{"SYS_NICE"});
  CHECK(host["SecurityOpt"] == json{"seccomp=unconfined"});
  CHECK(host["Runtime"] == "habana");
  CHECK(host["IpcMode"] == "host");
  CHECK(body["Env"] == json{"A=1", "HABANA_VISIBLE_DEVICES=0"});
}

TEST_CASE("a container has the host's folders and devices as the host's root, also where the engine separates them") {
  ContainerSpec spec = plain();
  CHECK_FALSE(create_body(spec)["HostConfig"].contains("UsernsMode"));
  CHECK_FALSE(create_body(spec)["HostConfig"].contains("SecurityOpt"));
  spec.engine = mode_of({.security_options = {"name=seccomp,profile=default", "name=userns", "name=selinux"}});
  spec.gpus.security_options = {"seccomp=unconfined"};
  const json host = create_body(spec)["HostConfig"];
  CHECK(host["UsernsMode"] == "host");
  CHECK(host["SecurityOpt"] == json{"seccomp=unconfined", "label=disable"});
}

TEST_CASE("how an engine runs is told by its settings") {
  CHECK(mode_of({}) == EngineMode{});
  CHECK(mode_of({.security_options = {"name=rootless", "name=seccomp"}}).rootless);
  CHECK(mode_of({.root_directory = "/var/snap/docker/common/var-lib-docker"}).from_snap);
  CHECK_FALSE(mode_of({.security_options = {"name=usernsx", "name=apparmor"}}).remaps_users);
  CHECK(hint_for_refusal({}).empty());
}

TEST_CASE("Podman says in its own way that it is rootless, and does not say that it uses SELinux") {
  CHECK(mode_of({.podman = true, .rootless = true}).rootless);
  const dstack::test::TemporaryDirectory root;
  CHECK_FALSE(mode_of({.podman = true}, root.path()).selinux);
  std::filesystem::create_directories(root / "sys/fs/selinux");
  std::ofstream(root / "sys/fs/selinux/enforce") << "0";
  CHECK(mode_of({.podman = true}, root.path()).selinux);
  CHECK_FALSE(mode_of({.podman = false}, root.path()).selinux);
}
