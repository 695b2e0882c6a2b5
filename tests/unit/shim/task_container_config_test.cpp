#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "shim/task/task_config.h"

using namespace dstack;
using namespace dstack::shim;
using namespace dstack::shim::task;
using dstack::json::ObjectReader;
using Json = nlohmann::json;

namespace {

TaskConfig read(const Json& body) { return read_config(ObjectReader(body)); }

TaskConfig read_local(Json container) {
  return read(
      {{"id", "1"}, {"name", "n"}, {"image_name", "app:1"}, {"local", true}, {"container", std::move(container)}});
}

const char* const kEverything = R"({
  "process": "image", "env": {"TOKEN": "secret"}, "entrypoint": ["/e"], "command": ["c", ""], "working_dir": "/w",
  "stdin": true, "tty": true, "init": true, "mounts": [{"source": "/s", "target": "/t", "read_only": true}],
  "volumes": [{"name": "v", "target": "/v", "keep": true}, {"name": "w", "target": "/w"}],
  "network": "net", "aliases": ["a"], "ports": [{"container": 80, "host": 8080, "protocol": "udp"}],
  "health": {"test": "t", "interval": 1.5, "timeout": 2, "retries": 3, "start_period": 4, "start_interval": 0.5},
  "hostname": "h", "hosts": {"x": "10.0.0.1"}, "labels": {"l": "1"}, "ulimits": [{"Name": "nofile", "Soft": 1, "Hard": -1}],
  "tmpfs": {"/tmp": "size=1m"}, "cap_add": ["NET_ADMIN"], "pull": "newer", "owner": "/o"})";

}  // namespace

TEST_CASE("a task that is not local has no container, whatever is in the field") {
  CHECK_FALSE(read({{"id", "1"}, {"container", {{"process", "image"}}}}).container);
  CHECK_FALSE(read({{"id", "1"}, {"container", 5}}).container);
  CHECK_FALSE(read({{"id", "1"}, {"local", true}, {"container", nullptr}}).container);
}

TEST_CASE("a container's settings come through the journal, but for the environment") {
  const TaskConfig config = read_local(Json::parse(kEverything));
  REQUIRE(config.container);
  CHECK(config.container->settings.environment.at("TOKEN") == "secret");
  const Json written = write_config(config);
  CHECK_FALSE(written.dump().contains("secret"));
  const TaskConfig again = read(written);
  CHECK(write_config(again) == written);
  CHECK(again.container->settings.environment.empty());
  CHECK(again.container->keeps("v"));
  CHECK_FALSE(again.container->keeps("w"));
  CHECK(again.container->pull == docker::PullPolicy::newer);
  CHECK(again.container->settings.health->interval == 1.5);
  CHECK(again.container->settings.health->start_interval == 0.5);
  CHECK(again.container->settings.init);
}

TEST_CASE("the journal of a server's task says nothing of a container") {
  CHECK_FALSE(write_config(read({{"id", "1"}})).contains("container"));
}

TEST_CASE("a plain task runs as the image's user unless another is asked for") {
  CHECK(read_local({{"process", "image"}}).container_user.empty());
  CHECK(read(write_config(read_local({{"process", "image"}}))).container_user.empty());
  CHECK(read_local({{"process", "hold"}}).container_user == "root");
  Json body{{"id", "1"}, {"local", true}, {"container_user", "root"}, {"container", {{"process", "image"}}}};
  CHECK(read(body).container_user == "root");
}

TEST_CASE("a network or ports put a task into a bridge network, and not into the host's") {
  CHECK(read_local({{"network", "n"}}).network_mode == docker::NetworkMode::bridge);
  CHECK(read_local({{"ports", {{{"container", 80}}}}}).network_mode == docker::NetworkMode::bridge);
  CHECK(read_local(Json::object()).network_mode == docker::NetworkMode::host);
  Json body{{"id", "1"}, {"local", true}, {"network_mode", "host"}, {"container", {{"network", "n"}}}};
  CHECK_THROWS_WITH(read(body), Catch::Matchers::ContainsSubstring("network_mode"));
}

TEST_CASE("a wrong value is refused with the field's name") {
  const auto [container, field] = GENERATE(table<const char*, const char*>({
      {R"({"process": "forked"})", "container.process"},
      {R"({"process": 1})", "container.process"},
      {R"({"env": {"A=B": "1"}})", "container.env"},
      {R"({"env": {"A": 1}})", "container.env.A"},
      {R"({"process": "hold", "command": ["x"]})", "container.command"},
      {R"({"entrypoint": ["x"]})", "container.entrypoint"},
      {R"({"tty": true})", "container.tty"},
      {R"({"init": true})", "container.init"},
      {R"({"working_dir": "w"})", "container.working_dir"},
      {R"({"mounts": [{"source": "s", "target": "/t"}]})", "container.mounts[0].source"},
      {R"({"mounts": [{"source": "/s"}]})", "container.mounts[0].target"},
      {R"({"volumes": [{"name": "../x", "target": "/t"}]})", "container.volumes[0].name"},
      {R"({"volumes": [{"name": "x", "target": "t"}]})", "container.volumes[0].target"},
      {R"({"network": "host"})", "container.network"},
      {R"({"network": "container:x"})", "container.network"},
      {R"({"aliases": ["a"]})", "container.aliases"},
      {R"({"ports": [{"container": 0}]})", "container.ports[0].container"},
      {R"({"ports": [{"container": 1, "host": 65536}]})", "container.ports[0].host"},
      {R"({"ports": [{"container": 1, "protocol": "sctp"}]})", "container.ports[0].protocol"},
      {R"({"health": {"interval": -1}})", "container.health.interval"},
      {R"({"health": "none"})", "container.health"},
      {R"({"hosts": {"a": ""}})", "container.hosts"},
      {R"({"labels": {"ai.dstack.shim.is-task": "false"}})", "container.labels"},
      {R"({"ulimits": [{"Name": "", "Soft": 1, "Hard": 1}]})", "container.ulimits[0].Name"},
      {R"({"ulimits": [{"Name": "nofile", "Soft": 2, "Hard": 1}]})", "container.ulimits[0].Soft"},
      {R"({"tmpfs": {"x": ""}})", "container.tmpfs"},
      {R"({"cap_add": "NET_ADMIN"})", "container.cap_add"},
      {R"({"pull": "sometimes"})", "container.pull"},
      {R"({"owner": "o"})", "container.owner"},
  }));
  CAPTURE(container);
  try {
    read_local(Json::parse(container));
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::invalid);
    CHECK_THAT(error.what(), Catch::Matchers::StartsWith(std::string(field) + ":"));
  }
}
