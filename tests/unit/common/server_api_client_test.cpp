#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <functional>
#include <future>
#include <nlohmann/json.hpp>

#include "common/server_api/client.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_dstack_server.h"

namespace dstack::server_api {

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using nlohmann::json;

namespace {

using FakeServer = test::FakeDstackServer;

const json kUser = {{"id", "u1"}, {"username", "ann"}, {"global_role", "user"}, {"ssh_private_key", "KEY"}};

Failure failure_of(const std::function<void()>& what) {
  try {
    what();
  } catch (const Failure& failure) {
    CHECK_THAT(failure.what(), !ContainsSubstring("s3cret-token"));
    return failure;
  }
  throw std::runtime_error("no failure");
}

const auto detail = FakeServer::detail;

}  // namespace

TEST_CASE("a call is a POST with the token and exactly the named fields") {
  FakeServer server;
  server.set("users/get_my_user", 200, kUser);
  Client client(server.account());
  CHECK(client.my_user().user.name == "ann");
  CHECK(client.my_user().ssh_private_key.reveal() == "KEY");
  const json asked = server.asked()[0];
  CHECK(asked["authorization"] == "Bearer s3cret-token");
  CHECK(asked["body"] == "{}");
}

TEST_CASE("each kind of refusal is a failure with its exit status") {
  FakeServer server;
  Client client(server.account());
  const std::string mine = "users/get_my_user";

  server.set(mine, 403, json{{"detail", {{"msg", "Invalid token"}}}});
  CHECK(failure_of([&] { client.my_user(); }).exit_status() == 77);
  CHECK_THAT(failure_of([&] { client.my_user(); }).what(),
             ContainsSubstring("the token is not valid at http://127.0.0.1:"));
  server.set(mine, 401, json{{"detail", "Not authenticated"}});
  CHECK(failure_of([&] { client.my_user(); }).reason() == FailureKind::invalid_token);

  server.set_text(mine, 500, "Internal Server Error");
  CHECK(failure_of([&] { client.my_user(); }).exit_status() == 69);
  CHECK_THAT(failure_of([&] { client.my_user(); }).what(), ContainsSubstring("failed (500) while"));
  server.set_text(mine, 302, "");
  CHECK(failure_of([&] { client.my_user(); }).exit_status() == 69);

  server.set(mine, 200, json{{"id", "u1"}});
  CHECK(failure_of([&] { client.my_user(); }).exit_status() == 65);
  CHECK_THAT(failure_of([&] { client.my_user(); }).what(),
             ContainsSubstring("answers as no server known to this version does: username of the user is missing"));
  server.set_text(mine, 200, "<html>");
  CHECK(failure_of([&] { client.my_user(); }).exit_status() == 65);

  CHECK(failure_of([&] { client.project(); }).exit_status() == 78);
  CHECK_THAT(failure_of([&] { client.fleets(); }).what(), ContainsSubstring("there is no project p at"));

  server.set("project/p/fleets/list", 400, detail("No such thing.", "bad"));
  CHECK(failure_of([&] { client.fleets(); }).exit_status() == 1);
  CHECK(std::string(failure_of([&] { client.fleets(); }).what()) == "No such thing.");
  CHECK(failure_of([&] { client.fleets(); }).is("bad"));
  server.set("project/p/fleets/list", 403, json{{"msg", "No permission"}, {"code", "x"}});
  CHECK(std::string(failure_of([&] { client.fleets(); }).what()) == "No permission");
  server.set(
      "project/p/fleets/list", 422,
      json{{"detail", {{{"loc", {"body", "plan", "spec"}}, {"msg", "Field required"}, {"input", "s3cret-token"}}}}});
  CHECK(std::string(failure_of([&] { client.fleets(); }).what()) == "plan.spec: Field required");
}

TEST_CASE("a refused connection is a failure that names the server and the reason") {
  Account account;
  {
    const FakeServer server;
    account = server.account();
  }
  Client client(account);
  const Failure failure = failure_of([&] { client.my_user(); });
  CHECK(failure.exit_status() == 69);
  CHECK(std::string(failure.what()) == "cannot reach " + account.url + ": connect: Connection refused");
}

TEST_CASE("what the token's user may not do is said with the user's name and with who may") {
  FakeServer server;
  server.set("users/get_my_user", 200, kUser);
  const json boss = {{"user", {{"id", "u2"}, {"username", "bea"}, {"global_role", "user"}}}, {"project_role", "admin"}};
  const auto project = [](const json& members) {
    return json{{"project_name", "p"}, {"backends", json::array()}, {"members", members}};
  };
  server.set("projects/p/get", 200, project(json::array({boss, {{"user", kUser}, {"project_role", "user"}}})));
  server.set("project/p/fleets/list", 403, json{{"detail", {{"msg", "Access denied"}}}});
  Client client(server.account());
  const Failure failure = failure_of([&] { client.fleets(); });
  CHECK(failure.exit_status() == 77);
  CHECK(std::string(failure.what()) == "ann may not list the fleets in project p; its admins may: bea");
  // A public project answers any user.
  server.set("projects/p/get", 200, project(json::array({boss})));
  const Failure foreign = failure_of([&] { client.fleets(); });
  CHECK(foreign.exit_status() == 77);
  CHECK(std::string(foreign.what()) == "ann may not list the fleets in project p: ann is no member of project p");
}

TEST_CASE("a user who may not look at the project is told so, after a few requests") {
  FakeServer server;
  server.set("users/get_my_user", 200, kUser);
  for (const char* path : {"projects/p/get", "project/p/fleets/list"})
    server.set(path, 403, json{{"detail", {{"msg", "Access denied"}, {"code", nullptr}}}});
  Client client(server.account());
  Failure failure = failure_of([&] { client.project(); });
  CHECK(failure.exit_status() == 77);
  CHECK(std::string(failure.what()) ==
        "ann may not read the members and backends in project p: ann is no member of project p");
  CHECK(server.asked().size() == 3);
  failure = failure_of([&] { client.fleets(); });
  CHECK(failure.exit_status() == 77);
  CHECK(std::string(failure.what()) == "ann may not list the fleets in project p: ann is no member of project p");
  CHECK(server.asked().size() == 6);
}

TEST_CASE("a development version of the server has no number") {
  FakeServer server;
  Client client(server.account());
  server.set("server/get_info", 200, json{{"server_version", "0.22.5"}});
  CHECK(client.version() == "0.22.5");
  server.set("server/get_info", 200, json{{"server_version", nullptr}});
  CHECK(client.version().empty());
}

TEST_CASE("a fleet that does not exist is no failure") {
  FakeServer server;
  server.set("project/p/fleets/get", 400, detail("Resource not found", "resource_not_exists"));
  Client client(server.account());
  CHECK_FALSE(client.fleet("f"));
  CHECK(json::parse(server.asked()[0]["body"].get<std::string>()) == json{{"name", "f"}});
}

TEST_CASE("a server that is busy with a fleet is asked again for 30 s, then its message is the failure") {
  FakeServer server;
  const json busy = detail("Failed to update fleet: fleet is being processed currently. Try again later.", "error");
  server.set("project/p/fleets/delete", 400, busy);
  test::FakeClock clock;
  Client client(server.account(), clock);
  auto done = std::async(std::launch::async, [&] { return failure_of([&] { client.delete_fleet("f"); }); });
  std::chrono::nanoseconds passed{0};
  while (done.wait_for(0s) != std::future_status::ready && passed < 40s) {
    if (clock.end_next_wait(35s)) passed += 1ns;
    std::this_thread::yield();
  }
  const Failure failure = done.get();
  CHECK(failure.exit_status() == 1);
  CHECK_THAT(failure.what(), ContainsSubstring("being processed currently"));
  CHECK(server.asked().size() == 7);  // at once, then after 0.5 1 2 4 8 14.5 s

  server.set("project/p/fleets/delete", 400, busy);
  server.then("project/p/fleets/delete", 200, json());
  auto second = std::async(std::launch::async, [&] { client.delete_fleet("f"); });
  while (second.wait_for(0s) != std::future_status::ready) {
    clock.end_next_wait(1s);
    std::this_thread::yield();
  }
  CHECK_NOTHROW(second.get());
}

TEST_CASE("a fleet's hosts, instances and environment are read whatever else is there") {
  FakeServer server;
  const json fleet =
      json::parse(R"({"id":"f1","name":"sugar","project_name":"p","status":"active","created_at":"2026-01-01",
    "spec":{"configuration":{"env":{"DSTACK_RUNNER_ID":"x"},"ssh_config":{"port":7,"hosts":["a",{"hostname":"b","port":8}]}},
            "profile":{}},
    "instances":[{"id":"i1","name":"sugar-0","instance_num":0,"status":"idle","unreachable":true,"hostname":null,"price":0.5,
      "created":"2026-01-02","instance_type":{"resources":{"cpus":4,"memory_mib":1024,"gpus":[{"name":"A10"}]}},"new":1}]})");
  server.set("project/p/fleets/list", 200, json::array({fleet}));
  Client client(server.account());
  const Fleet found = client.fleets().at(0);
  CHECK(found.over_ssh);
  CHECK(found.environment.at("DSTACK_RUNNER_ID") == "x");
  REQUIRE(found.hosts.size() == 2);
  CHECK(found.hosts[0].port == 7);
  CHECK(found.hosts[1].port == 8);
  const Instance& instance = found.instances.at(0);
  CHECK(instance.unreachable);
  CHECK(instance.hostname.empty());
  CHECK(instance.resources->gpus == std::vector<std::string>{"A10"});
}

TEST_CASE("an instance that a job holds, or is about to, is not deleted and that is no failure") {
  FakeServer server;
  Client client(server.account());
  const std::string path = "project/p/fleets/delete_instances";
  server.set(path, 200, json());
  CHECK(client.delete_instance("f", 3));
  CHECK(server.bodies(path) == std::vector<json>{{{"name", "f"}, {"instance_nums", {3}}}});
  server.set(path, 400, detail("Failed to delete fleet f instances [3]. Fleet instances are in use.", "error"));
  CHECK_FALSE(client.delete_instance("f", 3));
  server.set(path, 400, detail("Failed to delete instance while the job is provisioning.", "error"));
  CHECK_FALSE(client.delete_instance("f", 3));
  server.set(path, 400, detail("No.", "error"));
  CHECK(failure_of([&] { client.delete_instance("f", 3); }).exit_status() == 1);
}

TEST_CASE("a secret that was sent is in no message, whatever the server quotes") {
  FakeServer server;
  Client client(server.account());
  client.hide(Secret("AKIA0secret"));
  server.set("project/p/backends/create", 400, detail("bad keys AKIA0secret, s3cret-token", "error"));
  CHECK(std::string(failure_of([&] { client.create_backend({{"type", "aws"}}); }).what()) ==
        "bad keys [hidden], [hidden]");
}

TEST_CASE("a backend that does not exist is no failure, and a project's backends have their regions") {
  FakeServer server;
  Client client(server.account());
  server.set("project/p/backends/aws/config_info", 400, detail("Resource not found", "resource_not_exists"));
  CHECK_FALSE(client.backend_settings("aws"));
  server.set("projects/p/get", 200, json::parse(R"({"project_name":"p","members":[],"backends":[
               {"name":"aws","config":{"type":"aws","regions":["us-east-1","eu-west-1"]}},{"name":"local","config":{}}]})"));
  const Project project = client.project();
  REQUIRE(project.backend("aws") != nullptr);
  CHECK(project.backend("aws")->regions == std::vector<std::string>{"us-east-1", "eu-west-1"});
  CHECK(project.backend("local")->regions.empty());
  CHECK(project.backend("gcp") == nullptr);
}

TEST_CASE("a fleet's plan has its offers, and one without a total is of no known server") {
  FakeServer server;
  Client client(server.account());
  server.set("project/p/fleets/get_plan", 200,
             json::parse(R"({"total_offers":70,"offers":[{"instance":{"name":"m5.xlarge","resources":{}},
               "region":"us-east-1","price":0.19,"availability":"no_quota"}]})"));
  const FleetPlan plan = client.plan_fleet({{"configuration", {}}});
  CHECK(plan.total_offers == 70);
  CHECK(plan.offers.at(0).instance_type == "m5.xlarge");
  CHECK(plan.offers.at(0).price == 0.19);
  CHECK(plan.offers.at(0).availability == "no_quota");
  server.set("project/p/fleets/get_plan", 200, json{{"offers", json::array()}});
  CHECK(failure_of([&] { client.plan_fleet({}); }).exit_status() == 65);
}

}  // namespace dstack::server_api
