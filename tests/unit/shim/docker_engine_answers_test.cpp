#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "shim/docker/engine_answers.h"

using namespace dstack;
using namespace dstack::shim::docker;
using nlohmann::json;

TEST_CASE("the engine's own message is taken out of its error") {
  CHECK(engine_message(R"({"message":"No such container: x"})") == "No such container: x");
  CHECK(engine_message(R"({"cause":"c","message":"m","response":500})") == "m");
}

TEST_CASE("an error's message becomes one line without control characters") {
  CHECK(engine_message("{\"message\":\"a\\nb\\u001b[31m\\n\"}") == "a b [31m");
}

TEST_CASE("an error without a message shows its body") {
  CHECK(engine_message("page not found\n") == "\"page not found\"");
  CHECK(engine_message("") == "no reason given");
  CHECK(engine_message("[1]") == "\"[1]\"");
}

TEST_CASE("an inspection is read") {
  const ContainerDetails details = parse_details(json::parse(R"({
    "Id": "abc", "Name": "/task-1",
    "State": {"Status": "exited", "ExitCode": 137, "OOMKilled": true, "Error": "e"},
    "Config": {"Labels": {"l": "v"}, "Env": ["HABANA_VISIBLE_DEVICES=0,1"], "Tty": false},
    "HostConfig": {"NetworkMode": "bridge", "Devices": [{"PathOnHost": "/dev/dri/renderD128"}],
                   "DeviceRequests": [{"DeviceIDs": ["GPU-1", "GPU-2"]}]},
    "Mounts": [{"Type": "bind", "Source": "/h", "Destination": "/tmp/runner"}],
    "NetworkSettings": {"Ports": {
      "10999/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32769"}, {"HostIp": "::1", "HostPort": "32770"}],
      "10022/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32768"}],
      "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "5"}], "80/tcp": null, "x/tcp": [{"HostPort": "1"}]}}})"));
  CHECK(details.id == "abc");
  CHECK(details.name == "task-1");
  CHECK(details.status == ContainerStatus::exited);
  CHECK(details.exit_code == 137);
  CHECK(details.out_of_memory);
  CHECK(details.error == "e");
  CHECK(details.labels.at("l") == "v");
  CHECK(details.environment == std::vector<std::string>{"HABANA_VISIBLE_DEVICES=0,1"});
  CHECK(details.devices == std::vector<std::string>{"/dev/dri/renderD128"});
  CHECK(details.device_requests == std::vector<std::vector<std::string>>{{"GPU-1", "GPU-2"}});
  CHECK(details.mounts.at(0).destination == "/tmp/runner");
  CHECK(details.ports == std::vector<PortMapping>{{5, 53, "udp"}, {32768, 10022}, {32769, 10999}});
  CHECK_FALSE(details.host_network);
}

TEST_CASE("an inspection of other types than expected gives defaults") {
  const ContainerDetails details = parse_details(json::parse(
      R"({"Id": 5, "Name": null, "State": [], "Config": {"Labels": [1], "Env": null}, "HostConfig": 1, "Mounts": {},
          "NetworkSettings": {"Ports": {"99999999999/tcp": [{"HostPort": 5}, null, 7]}}})"));
  CHECK(details.id.empty());
  CHECK(details.status == ContainerStatus::unknown);
  CHECK(details.ports.empty());
}

TEST_CASE("a list is read, entries without an id are left out") {
  const auto containers = parse_list(json::parse(R"([
    {"Id": "1", "Names": ["/a", "/b/a"], "State": "running", "Created": 1763734502, "Labels": {"x": "y"},
     "Mounts": [{"Source": "/s", "Destination": "/d"}]}, {"Names": ["/c"]}, null, 7])"));
  REQUIRE(containers.size() == 1);
  CHECK(containers[0].name == "a");
  CHECK(containers[0].status == ContainerStatus::running);
  CHECK(containers[0].mounts.at(0).source == "/s");
  CHECK(containers[0].created == 1763734502);
}

TEST_CASE("only ends and removals of containers are events") {
  const auto event = [](const char* action, const char* type = "container") {
    return parse_event(
        json{{"Type", type}, {"Action", action}, {"Actor", {{"ID", "i"}, {"Attributes", {{"exitCode", "3"}}}}}}.dump());
  };
  REQUIRE(event("die"));
  CHECK(event("die")->container_id == "i");
  CHECK(event("die")->exit_code == 3);
  CHECK(event("destroy")->action == "destroy");
  CHECK_FALSE(event("destroy")->exit_code);
  CHECK_FALSE(event("exec_die"));
  CHECK_FALSE(event("start"));
  CHECK_FALSE(event("die", "network"));
  CHECK_FALSE(parse_event("{"));
  CHECK_FALSE(parse_event("[]"));
  CHECK_FALSE(parse_event(R"({"Type":"container","Action":"die"})"));
}

TEST_CASE("Podman's names of the events are understood") {
  const auto died =
      parse_event(R"({"Type":"container","Action":"died","Actor":{"ID":"i","Attributes":{"containerExitCode":"4"}}})");
  REQUIRE(died);
  CHECK(died->action == "die");
  CHECK(died->exit_code == 4);
  CHECK(parse_event(R"({"Type":"container","Action":"remove","Actor":{"ID":"i"}})")->action == "destroy");
}

TEST_CASE("the frames of stdout and stderr are joined") {
  const std::string raw = std::string("\1\0\0\0\0\0\0\3ab\n", 11) + std::string("\2\0\0\0\0\0\0\2c\n", 10);
  CHECK(join_output(raw, false) == "ab\nc\n");
  CHECK(join_output(raw, true) == raw);
}

TEST_CASE("a frame that breaks off is taken as far as it goes") {
  CHECK(join_output(std::string("\1\0\0\0\0\0\0\11abc", 11), false) == "abc");
  CHECK(join_output(std::string("\1\0\0\0\377\377\377\377abc", 11), false) == "abc");
  CHECK(join_output(std::string("\1\0\0", 3), false).empty());
}

TEST_CASE("an answer that is no JSON is an error of the engine") {
  CHECK_THROWS_AS(parse_answer("try", "<html>"), Error);
}

TEST_CASE("what an engine says of its own kind is read") {
  const EngineInfo info = parse_info(nlohmann::json::parse(R"({"DockerRootDir": "/var/lib/docker",
    "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]], "LiveRestoreEnabled": true,
    "SecurityOptions": ["name=seccomp,profile=builtin", "name=userns"],
    "Containerd": {"Address": "/run/containerd/containerd.sock"},
    "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}, {"Source": "other", "ID": "x"}, 5]})"));
  CHECK(info.containerd_images);
  CHECK(info.containerd_address == "/run/containerd/containerd.sock");
  CHECK(info.keeps_containers);
  CHECK(info.security_options.size() == 2);
  CHECK(info.cdi_devices == std::vector<std::string>{"nvidia.com/gpu=0"});
  // Of an engine with its own store, or an old one.
  const EngineInfo old =
      parse_info(nlohmann::json::parse(R"({"DriverStatus": [["Backing Filesystem", "extfs"], []]})"));
  CHECK_FALSE(old.containerd_images);
  CHECK_FALSE(old.keeps_containers);
  CHECK(old.cdi_devices.empty());
}
