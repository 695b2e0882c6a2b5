#include <catch2/catch_test_macros.hpp>
#include <map>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "shim/ci/gitlab/job_response.h"
#include "shim/ci/job_names.h"

using namespace dstack;
using namespace dstack::shim::ci;
using gitlab::JobResponse;
using Json = nlohmann::json;

namespace {

gitlab::Environment environment_of(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
}

JobResponse parse(const Json& response, std::map<std::string, std::string> variables = {}) {
  return gitlab::parse_job_response(response.dump(), environment_of(std::move(variables)));
}

std::vector<std::string> names_of(const std::string& image, std::vector<std::string> aliases = {}) {
  return gitlab::service_names({.image = image, .aliases = std::move(aliases)});
}

}  // namespace

TEST_CASE("a job is read from GitLab's answer", "[ci]") {
  const JobResponse job = parse(Json::parse(R"({
    "id": 42, "job_info": {"project_id": 7},
    "image": {"name": "python:3", "entrypoint": ["x"], "pull_policy": ["if-not-present", "always"],
              "executor_opts": {"docker": {"user": "app", "platform": "linux/arm64"}}},
    "services": [{"name": "redis:7", "alias": "cache, kv  x", "entrypoint": ["e"], "command": ["c"],
                  "variables": [{"key": "A", "value": "$B-${C}"}]}],
    "variables": [{"key": "B", "value": "1", "public": true}, {"key": "C", "value": "2"},
                  {"key": "CI_PIPELINE_ID", "value": "420", "public": true},
                  {"key": "CI_SERVER_URL", "value": "https://gitlab.example", "public": true},
                  {"key": "F", "value": "x", "public": true, "file": true}],
    "credentials": [{"type": "registry", "url": "r.example", "username": "u", "password": "p"}, {"type": "other"}],
    "more": {}})"));
  CHECK(job.id == "42");
  CHECK(job.project == "7");
  CHECK(job.pipeline == "420");
  CHECK(job.server == "https://gitlab.example");
  CHECK(job.image == "python:3");
  CHECK(job.user == "app");
  CHECK(job.platform == "linux/arm64");
  CHECK(job.pull_policy == "if-not-present");
  REQUIRE(job.services.size() == 1);
  CHECK(job.services[0].aliases == std::vector<std::string>{"cache", "kv", "x"});
  CHECK(job.services[0].entrypoint == std::vector<std::string>{"e"});
  CHECK(job.services[0].command == std::vector<std::string>{"c"});
  CHECK(job.services[0].variables == std::map<std::string, std::string>{{"A", "1-2"}});
  // Neither secret ones nor those that are files.
  CHECK(job.public_variables.size() == 3);
  CHECK(job.public_variables.at("B") == "1");
  REQUIRE(job.logins.size() == 1);
  CHECK(job.logins[0].password.reveal() == "p");
}

TEST_CASE("a job may name no image, no services and no credentials", "[ci]") {
  const JobResponse job =
      parse({{"id", 1}, {"image", nullptr}, {"services", nullptr}, {"credentials", nullptr}, {"variables", nullptr}});
  CHECK(job.image.empty());
  CHECK(job.services.empty());
  CHECK(job.logins.empty());
}

TEST_CASE("a variable's expanded value is in the environment", "[ci]") {
  const Json response = {{"id", 1}, {"variables", {{{"key", "URL"}, {"value", "$HOST/x"}, {"public", true}}}}};
  CHECK(parse(response, {{"CUSTOM_ENV_URL", "h/x"}}).public_variables.at("URL") == "h/x");
  CHECK(parse(response).public_variables.at("URL") == "$HOST/x");
}

TEST_CASE("variables in the names of images and services, and in aliases, are expanded", "[ci]") {
  const JobResponse job = parse(Json::parse(R"({"id": 1, "image": {"name": "$REGISTRY/app:${TAG}"},
    "services": [{"name": "$REGISTRY/db", "alias": "$NAME other"}],
    "variables": [{"key": "TAG", "value": "2"}, {"key": "NAME", "value": "db"}]})"),
                                {{"CUSTOM_ENV_REGISTRY", "r.example"}});
  CHECK(job.image == "r.example/app:2");
  REQUIRE(job.services.size() == 1);
  CHECK(job.services[0].image == "r.example/db");
  CHECK(job.services[0].aliases == std::vector<std::string>{"db", "other"});
}

TEST_CASE("a later variable of a name takes the place of an earlier one, also where it is secret", "[ci]") {
  const Json response = Json::parse(R"({"id": 1, "variables": [
    {"key": "A", "value": "1", "public": true}, {"key": "A", "value": "2", "public": false},
    {"key": "B", "value": "1", "public": true}, {"key": "B", "value": "2", "public": true}]})");
  CHECK(parse(response).public_variables == std::map<std::string, std::string>{{"B", "2"}});
}

TEST_CASE("what is malformed is named", "[ci]") {
  const auto refusal_of = [](const Json& response) -> std::string {
    try {
      parse(response);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  CHECK(refusal_of(Json::object()).contains("id"));
  CHECK(refusal_of({{"id", 1}, {"services", {{{"name", ""}}}}}).contains("services[0].name"));
  CHECK(refusal_of({{"id", 1}, {"image", 5}}).contains("image"));
}

TEST_CASE("variables in a text are replaced", "[ci]") {
  const auto values = environment_of({{"A", "1"}, {"LONG_NAME2", "x"}});
  CHECK(gitlab::expand("$A", values) == "1");
  CHECK(gitlab::expand("a$A.b${A}c", values) == "a1.b1c");
  CHECK(gitlab::expand("$LONG_NAME2$NONE!", values) == "x!");
  CHECK(gitlab::expand("$$A costs 5$", values) == "$A costs 5$");
  CHECK(gitlab::expand("${A", values) == "${A");
  CHECK(gitlab::expand("${}", values) == "${}");
}

TEST_CASE("a service has its aliases and two names by its image", "[ci]") {
  using Names = std::vector<std::string>;
  CHECK(names_of("redis") == Names{"redis"});
  CHECK(names_of("redis:7", {"db", "redis"}) == Names{"db", "redis"});
  CHECK(names_of("team/app:1.2") == Names{"team-app", "team__app"});
  CHECK(names_of("r.example:5000/team/app@sha256:" + std::string(64, '0')) ==
        Names{"r.example-team-app", "r.example__team__app"});
}

TEST_CASE("a login is found by the image's registry", "[ci]") {
  const std::vector<RegistryLogin> logins{{.registry = "https://R.example:5000/v2/", .username = "a", .password = {}},
                                          {.registry = "https://index.docker.io/v1/", .username = "b", .password = {}}};
  CHECK(find_login(logins, "r.example:5000/x:1")->username == "a");
  CHECK_FALSE(find_login(logins, "r.example/x:1"));
  CHECK(find_login(logins, "python:3")->username == "b");
  CHECK_THROWS_AS(find_login(logins, "Not An Image"), Error);
}

TEST_CASE("logins are read from Docker's own configuration", "[ci]") {
  // "dXNlcjpwYTpzcw==": user:pa:ss
  const auto logins = parse_docker_config(
      R"({"auths": {"a.example": {"auth": "dXNlcjpwYTpzcw=="}, "b.example": {"username": "u", "password": "p"}, "c": {}}})");
  REQUIRE(logins.size() == 2);
  CHECK(logins[0].username == "user");
  CHECK(logins[0].password.reveal() == "pa:ss");
  CHECK(logins[1].username == "u");
  CHECK(parse_docker_config("no JSON").empty());
  CHECK(parse_docker_config(R"({"auths": 5})").empty());
}

TEST_CASE("the names of two jobs, and of one number at two servers, differ; a project's cache is one", "[ci]") {
  CHECK(JobNames("https://a", "1").task("job") == JobNames("https://a", "1").task("job"));
  CHECK(JobNames("https://a", "1").task("job") != JobNames("https://b", "1").task("job"));
  CHECK(JobNames("https://a", "1").network() != JobNames("https://a", "11").network());
  CHECK(cache_volume("https://a", "1").starts_with("dstack-ci-cache-"));
  CHECK(cache_volume("https://a", "1") == cache_volume("https://a", "1"));
  CHECK(cache_volume("https://a", "1") != cache_volume("https://a", "2"));
}
