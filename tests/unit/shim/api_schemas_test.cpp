#include "shim/api/schemas.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "common/error.h"

using namespace dstack;
using namespace dstack::shim;
using Json = nlohmann::json;

namespace {

Json minimal() { return {{"id", "1"}, {"name", "job"}, {"image_name", "app:1"}}; }

api::SubmitRequest read(const Json& object) { return api::read_submit(object.dump()); }

// The message of the refusal; empty if there is none.
std::string refusal(Json object, const std::string& field, Json value) {
  object[field] = std::move(value);
  try {
    read(object);
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::invalid);
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("defaults stand in for absent fields and for null") {
  for (const Json& object :
       {minimal(), Json::parse(R"({"id":"1","name":"job","image_name":"app:1","container_user":null,
       "privileged":null,"gpu":null,"cpu":null,"memory":null,"network_mode":null,"volumes":null,"host_ssh_keys":null})")}) {
    const task::TaskConfig config = read(object).config;
    CHECK(config.container_user == "root");
    CHECK_FALSE(config.privileged);
    CHECK(config.gpu == 0);
    CHECK(config.cpu == 0);
    CHECK(config.network_mode == docker::NetworkMode::host);
    CHECK(config.volumes.empty());
    CHECK(config.host_ssh_keys.empty());
    CHECK_FALSE(config.local);
  }
}

TEST_CASE("what must not be empty is told in the reference's words") {
  CHECK(refusal(minimal(), "id", "") == "empty id");
  CHECK(refusal(minimal(), "name", nullptr) == "empty name");
  CHECK(refusal(minimal(), "image_name", "") == "empty image_name");
}

TEST_CASE("a wrong type names its field") {
  CHECK(refusal(minimal(), "gpu", "two").starts_with("gpu"));
  CHECK(refusal(minimal(), "volumes", {{{"name", 5}}}).contains("volumes"));
  CHECK(refusal(minimal(), "host_ssh_keys", {1}).contains("host_ssh_keys"));
  CHECK(refusal(minimal(), "network_mode", "none").contains("network_mode"));
}

TEST_CASE("a number that no machine holds is refused") {
  for (const char* field : {"cpu", "memory", "gpu"}) {
    const std::string body = std::string(R"({"id":"1","name":"n","image_name":"i",")") + field + R"(":1e400})";
    try {
      api::read_submit(body);
      FAIL("it should not have worked");
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::invalid);
    }
  }
}

TEST_CASE("ids and names that could leave their folder or their line are refused by name") {
  for (const char* id : {"a/b", "..", ".", "a\nb", "a b", "ü"}) CHECK(refusal(minimal(), "id", id).starts_with("id: "));
  CHECK(refusal(minimal(), "id", std::string("a\0b", 3)).starts_with("id: "));
  CHECK(refusal(minimal(), "id", std::string(10240, 'a')).starts_with("id: "));
  CHECK(refusal(minimal(), "id", "6f0a7d6e-0000-4000-8000-000000000000").empty());

  for (const char* name : {"a/b", "..", "-x", ".x", "_x", "a\nb", "$(id)"}) {
    CHECK(refusal(minimal(), "name", name).starts_with("name: "));
  }
  CHECK(refusal(minimal(), "name", std::string("a\0b", 3)).starts_with("name: "));
  CHECK(refusal(minimal(), "name", std::string(10240, 'a')).starts_with("name: "));
  CHECK(refusal(minimal(), "name", "My_job.1-0").empty());
}

TEST_CASE("odd users, images and paths are kept byte for byte, but for NUL") {
  Json object = minimal();
  object["container_user"] = "$(id) \"'";
  object["instance_mounts"] = {{{"instance_path", "/-x $(y)'\""}, {"path", "/\"z"}, {"optional", true}}};
  const task::TaskConfig config = read(object).config;
  CHECK(config.container_user == "$(id) \"'");
  CHECK(config.instance_mounts.at(0).instance_path == "/-x $(y)'\"");
  CHECK(config.instance_mounts.at(0).path == "/\"z");
  CHECK(refusal(minimal(), "container_user", std::string("a\0", 2)).starts_with("container_user"));
  CHECK(refusal(minimal(), "image_name", "app\n:1").starts_with("image_name"));
  CHECK(refusal(minimal(), "instance_mounts", {{{"instance_path", "relative"}, {"path", "/x"}}})
            .starts_with("instance_mounts.instance_path"));
}

TEST_CASE("a key with a line break inside is refused, one with its line end is trimmed") {
  for (const char* field : {"host_ssh_keys", "container_ssh_keys"}) {
    CHECK(refusal(minimal(), field, {"ssh-rsa A\nssh-rsa B"}).starts_with(field));
    CHECK(refusal(minimal(), field, {" \n"}).starts_with(field));
  }
  Json object = minimal();
  object["host_ssh_keys"] = {"ssh-rsa A me\n"};
  object["container_ssh_keys"] = {"ssh-rsa $(x) \"'"};
  CHECK(read(object).config.host_ssh_keys == std::vector<std::string>{"ssh-rsa A me"});
  CHECK(read(object).config.container_ssh_keys == std::vector<std::string>{"ssh-rsa $(x) \"'"});
}

TEST_CASE("a volume's name cannot leave the folder of volumes") {
  CHECK(refusal(minimal(), "volumes", {{{"name", "../x"}}}).starts_with("volumes.name"));
  CHECK(refusal(minimal(), "volume_mounts", {{{"name", "a/b"}, {"path", "/x"}}}).starts_with("volume_mounts.name"));
}

TEST_CASE("the registry's password is no part of the configuration") {
  Json object = minimal();
  object["registry_password"] = "secret";
  const api::SubmitRequest request = read(object);
  CHECK(request.registry_password.reveal() == "secret");
  CHECK_FALSE(task::write_config(request.config).dump().contains("secret"));
}

TEST_CASE("a terminate without a reason is the server's") {
  CHECK(api::read_terminate("{}").ending.reason == "terminated_by_server");
  const api::TerminateRequest request =
      api::read_terminate(R"({"termination_reason":"max_duration_exceeded","termination_message":"m","timeout":7})");
  CHECK(request.ending == task::Ending{.reason = "max_duration_exceeded", .message = "m"});
  CHECK(request.grace == std::chrono::seconds{7});
  CHECK_THROWS_AS(api::read_terminate(R"({"timeout":-1})"), Error);
  CHECK_THROWS_AS(api::read_terminate(R"({"termination_reason":"no such\nword"})"), Error);
}

TEST_CASE("a task that has not started tells null where nothing is known") {
  const Json answer = api::to_json(task::TaskInfo{.id = "1"});
  CHECK(answer.at("ports").is_null());
  CHECK(answer.at("image_pull_progress").is_null());
  CHECK(answer.at("gpus_ids").is_null());
  CHECK(answer.at("termination_reason") == "");
  CHECK(answer.size() == 9);
}

TEST_CASE("a running task tells its ports and numbers") {
  task::TaskInfo info{.id = "1", .status = task::TaskStatus::running};
  info.ports = {{.host = 5, .container = 10999}};
  info.gpu_ids.emplace();
  info.pull_progress =
      docker::PullProgress{.downloaded_bytes = 1, .extracted_bytes = 2, .total_bytes = 3, .is_total_bytes_final = true};
  CHECK(api::to_json(info).dump() ==
        R"({"container_id":"","container_name":"","gpus_ids":[],"id":"1","image_pull_progress":{"downloaded_bytes":1,)"
        R"("extracted_bytes":2,"is_total_bytes_final":true,"total_bytes":3},"ports":[{"container":10999,"host":5}],)"
        R"("status":"running","termination_message":"","termination_reason":""})");
}
