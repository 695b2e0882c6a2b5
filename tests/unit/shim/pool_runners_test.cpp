#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "common/http/server.h"
#include "common/server_api/time.h"
#include "shim/pool/runners.h"
#include "tests/support/running_server.h"

namespace dstack::shim::pool {

using namespace std::chrono_literals;
using nlohmann::json;
using server_api::Fleet;
using server_api::Instance;

namespace {

const os::WallTime kNow = *server_api::parse_time("2026-11-28T12:00:00Z");

Instance instance(const std::string& id, const std::string& status, bool unreachable = false) {
  return {.id = id,
          .name = "cloud-" + id,
          .status = status,
          .unreachable = unreachable,
          .created = "2026-11-28T11:57:00+00:00"};
}

Fleet self_hosted(const std::string& name, Instance found,
                  std::vector<server_api::FleetHost> hosts = {{"127.0.0.1", 10023}}) {
  return {.name = name, .over_ssh = true, .hosts = std::move(hosts), .instances = {std::move(found)}};
}

}  // namespace

TEST_CASE("runners: each state of an instance has a word") {
  const auto word = [](const char* status, bool unreachable) {
    const auto found = runners_of({self_hosted("a", instance("1", status, unreachable))}, true);
    return found.at(0).status;
  };
  CHECK(word("idle", false) == "LIVE");
  CHECK(word("busy", false) == "LIVE");
  CHECK(word("idle", true) == "OFFLINE");
  CHECK(word("busy", true) == "OFFLINE");
  CHECK(word("pending", false) == "JOINING");
  CHECK(word("provisioning", true) == "JOINING");
  CHECK(word("terminating", false) == "LEAVING");
  CHECK(word("terminated", false) == "FAILED");
  CHECK(runners_of({self_hosted("a", instance("1", "terminated"))}, false).empty());
}

TEST_CASE("runners: a self-hosted one has its fleet's name and the host's, the others their instance's") {
  Fleet one = self_hosted("sugar-1", instance("1", "idle"));
  one.environment["DSTACK_RUNNER_HOST"] = "MBP-de-Boris.fritz.box";
  Fleet several = self_hosted("rack", instance("2", "idle"), {{"10.0.0.1", 22}, {"10.0.0.2", 22}});
  several.instances[0].hostname = "10.0.0.1";
  Fleet cloud{.name = "auto", .instances = {instance("3", "provisioning")}};
  const auto runners = runners_of({one, several, cloud}, false);
  REQUIRE(runners.size() == 3);
  CHECK(runners[0].name == "cloud-2");
  CHECK(runners[0].host == "10.0.0.1");
  CHECK(runners[1].name == "cloud-3");
  CHECK(runners[1].host == "-");
  CHECK_FALSE(runners[1].self_hosted);
  CHECK(runners[2].name == "sugar-1");
  CHECK(runners[2].host == "MBP-de-Boris.fritz.box");
}

TEST_CASE("runners: the table has its columns two blanks apart") {
  auto runners = runners_of(
      {self_hosted("sugar-1", instance("1", "idle")), self_hosted("x2", instance("2", "idle", true))}, false);
  runners[1].updated = kNow - 2 * 24h;
  CHECK(runner_table(runners, kNow) ==
        "RUNNER   HOST       STATUS   UPDATED\n"
        "sugar-1  127.0.0.1  LIVE     3 mins ago\n"
        "x2       127.0.0.1  OFFLINE  2 days ago\n");
  CHECK(runner_table({}, kNow) == "RUNNER  HOST  STATUS  UPDATED\n");
}

TEST_CASE("runners: how long ago") {
  using server_api::ago;
  CHECK(ago(kNow, kNow) == "now");
  CHECK(ago(kNow + 1h, kNow) == "now");
  CHECK(ago(kNow - 40s, kNow) == "40 secs ago");
  CHECK(ago(kNow - 60s, kNow) == "1 min ago");
  CHECK(ago(kNow - 3599s, kNow) == "59 mins ago");
  CHECK(ago(kNow - 3600s, kNow) == "1 hour ago");
  CHECK(ago(kNow - 86400s, kNow) == "1 day ago");
}

TEST_CASE("runners: a server's times are read in each of their forms") {
  using server_api::parse_time;
  CHECK(parse_time("2026-11-28T13:30:00.000000+01:30") == kNow);
  CHECK(parse_time("2026-11-28T12:00:00") == kNow);
  CHECK(parse_time("2026-11-28 12:00:00Z") == kNow);
  CHECK(server_api::rfc3339(*parse_time("2026-11-28T12:00:00.999Z")) == "2026-11-28T12:00:00Z");
  for (const char* text :
       {"", "2026", "2026-13-01T00:00:00Z", "2026-11-28T12:00", "2026-11-28T12:00:00+1", "2026-11-28T12:00:00Zx"})
    CHECK_FALSE(parse_time(text));
}

TEST_CASE(
    "runners: the newest event counts, on whatever page it is, and none is looked for before the instance was made") {
  http::Server server;
  std::vector<json> asked;
  server.post_json("/api/events/list", [&asked](const http::Request& request) {
    asked.push_back(json::parse(request.body));
    json page = json::array();
    const bool first = !asked.back().contains("prev_id");
    for (int i = 0; first && i < 100; ++i) {
      page.push_back(
          {{"id", "e" + std::to_string(i)}, {"recorded_at", "2026-11-28T11:59:30Z"}, {"targets", {{{"id", "1"}}}}});
    }
    if (!first) page.push_back({{"id", "old"}, {"recorded_at", "2026-11-28T11:58:00Z"}, {"targets", {{{"id", "2"}}}}});
    return http::Response::json(page);
  });
  const test::RunningServer running(server);
  server_api::Client client(
      {.url = "http://127.0.0.1:" + std::to_string(running.port()), .token = Secret("t"), .project = "p"});
  auto runners = runners_of({self_hosted("a", instance("1", "idle")), self_hosted("b", instance("2", "idle"))}, false);
  look_up_events(client, runners);
  REQUIRE(asked.size() == 2);
  CHECK(asked[0] == json{{"target_instances", {"1", "2"}}, {"limit", 100}});
  CHECK(asked[1] == json{{"target_instances", {"1", "2"}},
                         {"limit", 100},
                         {"prev_recorded_at", "2026-11-28T11:59:30Z"},
                         {"prev_id", "e99"}});
  CHECK(server_api::ago(*runners[0].updated, kNow) == "30 secs ago");
  CHECK(server_api::ago(*runners[1].updated, kNow) == "2 mins ago");
}

TEST_CASE("runners: as JSON for programs") {
  Fleet fleet = self_hosted("a", instance("1", "busy"));
  fleet.instances[0].resources = server_api::Resources{.cpus = 4, .memory_mib = 1024, .gpus = {"A10"}};
  const json list = runner_list(runners_of({fleet}, false));
  CHECK(list[0] == json::parse(R"({"runner":"a","host":"127.0.0.1","status":"LIVE","updated":"2026-11-28T11:57:00Z",
    "kind":"self-hosted","fleet":"a","instance_status":"busy","unreachable":false,"busy":true,
    "resources":{"cpus":4,"memory_mib":1024,"gpus":["A10"]},"price":null,"reason":""})"));
}

}  // namespace dstack::shim::pool
