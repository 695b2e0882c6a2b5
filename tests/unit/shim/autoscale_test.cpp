#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <future>
#include <nlohmann/json.hpp>
#include <sstream>

#include "common/command_error.h"
#include "shim/autoscale/autoscale.h"
#include "shim/autoscale/offers.h"
#include "shim/autoscale/rule.h"
#include "shim/autoscale/shrink.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_dstack_server.h"

namespace dstack::shim::autoscale {

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using nlohmann::json;
using test::FakeDstackServer;
using Verb = AutoscaleCommand::Verb;

namespace {

std::string text(const json& value) { return value.get<std::string>(); }

// The fleets of a server, as its API shows and changes them.
struct Model {
  json fleets = json::array();
  json runs = json::array();
  json offers = json::array();             // of every type that is not named in others
  std::map<std::string, json> offers_for;  // by "m5.large/spot"
  std::set<std::string> kept_busy;         // instances that the server never lets go of
  int lost_stops = 0;                      // of runs, that the server accepts and overwrites
  std::string refuses_update_of;           // a fleet
  const json ann = {{"id", "u1"}, {"username", "ann"}, {"global_role", "user"}};
  json user = ann;
  json backends = json::array({{{"name", "aws"}, {"config", {{"regions", {"us-east-1", "us-west-2"}}}}}});

  json* fleet(const std::string& name) {
    for (json& fleet : fleets) {
      if (fleet["name"] == name) return &fleet;
    }
    return nullptr;
  }
  json* instance(json& fleet, std::int64_t number) {
    for (json& found : fleet["instances"]) {
      if (found["instance_num"] == number) return &found;
    }
    return nullptr;
  }

  using Answer = FakeDstackServer::Answer;
  static Answer ok(const json& body = json()) { return {200, body.dump()}; }
  static Answer refuse(const std::string& message) { return {400, FakeDstackServer::detail(message, "error").dump()}; }

  std::optional<Answer> answer(const std::string& path, const json& body) {
    if (path == "users/get_my_user") return ok(user);
    if (path == "projects/p/get")
      return ok(
          {{"project_name", "p"}, {"backends", backends}, {"members", {{{"user", ann}, {"project_role", "user"}}}}});
    if (path == "project/p/fleets/list") return ok(fleets);
    if (path == "runs/list") return ok(runs);
    if (path == "project/p/fleets/get") {
      const json* found = fleet(text(body["name"]));
      if (found != nullptr) return ok(*found);
      return Answer{400, FakeDstackServer::detail("Resource not found", "resource_not_exists").dump()};
    }
    if (path == "project/p/fleets/get_plan") return ok(plan(body["spec"]["configuration"]));
    if (path == "project/p/fleets/apply") return apply(body["plan"]["spec"]["configuration"]);
    if (path == "project/p/fleets/delete_instances")
      return delete_instance(text(body["name"]), body["instance_nums"][0].get<std::int64_t>());
    if (path == "project/p/fleets/delete") return delete_fleet(text(body["names"][0]));
    if (path == "project/p/runs/stop") return stop(body["runs_names"]);
    return std::nullopt;
  }

  json plan(const json& configuration) {
    json found = offers;
    const json types = configuration.value("instance_types", json::array());
    if (types.size() == 1) {
      const auto named =
          offers_for.find(types[0].get<std::string>() + "/" + configuration["spot_policy"].get<std::string>());
      if (named != offers_for.end()) found = named->second;
    }
    return {{"offers", found}, {"total_offers", found.size()}};
  }
  Answer apply(json configuration) {
    const std::string name = text(configuration["name"]);
    if (name == refuses_update_of) return refuse("Not this one.");
    configuration["idle_duration"] = 300;
    json* found = fleet(name);
    if (found == nullptr) {
      fleets.push_back({{"id", "new-" + name}, {"name", name}, {"status", "active"}, {"instances", json::array()}});
      found = &fleets.back();
    }
    (*found)["spec"] = {{"configuration", configuration}};
    return ok();
  }
  Answer delete_instance(const std::string& name, std::int64_t number) {
    json& found = *instance(*fleet(name), number);
    if (found["status"] == "busy") return refuse("Failed to delete fleet. Fleet instances are in use.");
    if (found.value("placeholder", false)) return refuse("Failed to delete instance while the job is provisioning.");
    found["status"] = "terminating";
    return ok();
  }
  Answer delete_fleet(const std::string& name) {
    for (std::size_t i = 0; i < fleets.size(); ++i) {
      if (fleets[i]["name"] == name) fleets.erase(i);
    }
    return ok();
  }
  Answer stop(const json& names) {
    if (lost_stops > 0) {
      --lost_stops;
      return ok();
    }
    for (const json& name : names) {
      for (json& run : runs) {
        if (run["run_spec"]["run_name"] != name) continue;
        run["status"] = "terminating";
        for (json& found : (*fleet(text(run["fleet"]["name"])))["instances"]) {
          const bool held =
              found["hostname"] == run["jobs"][0]["job_submissions"][0]["job_provisioning_data"]["hostname"];
          if (!held || kept_busy.contains(text(found["name"]))) continue;
          found["status"] = "idle";
          found["placeholder"] = false;
        }
      }
    }
    return ok();
  }
};

json offer(const std::string& type, const std::string& region, double price,
           const std::string& availability = "unknown") {
  return {{"instance", {{"name", type}}}, {"region", region}, {"price", price}, {"availability", availability}};
}

json instance(const std::string& fleet, int number, const std::string& status, const json& hostname = nullptr) {
  return {{"id", fleet + std::to_string(number)},
          {"name", fleet + "-" + std::to_string(number)},
          {"instance_num", number},
          {"status", status},
          {"hostname", hostname},
          {"created", "2026-11-28T10:0" + std::to_string(number) + ":00Z"}};
}

json fleet(const std::string& type, const std::string& market, int maximum, int wanted,
           const std::vector<json>& instances = {}) {
  std::string name = "auto-" + type + (market == "spot" ? "-spot" : "-od");
  std::ranges::replace(name, '.', '-');
  return {
      {"id", "id-" + name},
      {"name", name},
      {"status", "active"},
      {"instances", instances},
      {"spec",
       {{"configuration",
         {{"nodes", {{"min", 0}, {"max", maximum}}},
          {"idle_duration", 300},
          {"tags", {{"dstack-autoscale", type + "/" + market}, {"dstack-autoscale-max", std::to_string(wanted)}}}}}}}};
}

json run(const std::string& name, const std::string& fleet, const json& hostname) {
  return {{"run_spec", {{"run_name", name}}},
          {"status", "running"},
          {"fleet", {{"name", fleet}}},
          {"jobs", {{{"job_submissions", {{{"job_provisioning_data", {{"hostname", hostname}}}}}}}}}};
}

struct Fixture {
  FakeDstackServer fake;
  Model model;
  test::FakeClock clock;
  std::ostringstream out;
  std::ostringstream talk;
  Consent::Ask ask;

  Fixture() {
    model.offers = {offer("m5.large", "us-east-1", 0.0961), offer("m5.large", "us-west-2", 0.11)};
    fake.handle([this](const std::string& path, const json& body) { return model.answer(path, body); });
  }

  // The exit status; the waits of the command pass at once.
  int execute(const AutoscaleCommand& command) {
    auto done = std::async(std::launch::async, [&] {
      try {
        check_flags(command);
        server_api::Client client(fake.account(), clock);
        Session session{.server = client, .clock = clock, .out = out, .talk = talk, .ask = ask};
        switch (*command.verb) {
          case Verb::allow: return allow(command, session);
          case Verb::remove: return remove(command, session);
          case Verb::info: return show_rules(command, session);
          case Verb::enable: return enable(command, session);
          case Verb::disable: return disable(command, session);
        }
      } catch (const CommandError& error) {
        talk << error.what();
        return error.exit_status();
      }
      return -1;
    });
    while (done.wait_for(0s) != std::future_status::ready) {
      clock.end_next_wait(10s);
      std::this_thread::yield();
    }
    return done.get();
  }
  json applied() {
    const auto bodies = fake.bodies("project/p/fleets/apply");
    return bodies.empty() ? json() : bodies.back();
  }
  // What was asked that changes something, in order: "delete_instances 3".
  std::vector<std::string> changes() {
    std::vector<std::string> list;
    for (const json& call : fake.asked()) {
      const std::string path = text(call["path"]);
      const std::string verb = path.substr(path.rfind('/') + 1);
      const json body = json::parse(call["body"].get<std::string>());
      if (verb == "apply") list.push_back("apply " + body["plan"]["spec"]["configuration"]["nodes"]["max"].dump());
      if (verb == "delete_instances") list.push_back("delete_instances " + body["instance_nums"].dump());
      if (verb == "stop") list.push_back("stop " + body["runs_names"].dump() + body["abort"].dump());
      if (verb == "delete") list.push_back("delete " + body["names"][0].get<std::string>());
    }
    return list;
  }
};

AutoscaleCommand allow_command(const std::string& type = "m5.large", const std::string& maximum = "2") {
  return {.verb = Verb::allow, .instance_type = type, .maximum = maximum, .on_demand = true};
}
AutoscaleCommand remove_command(const std::string& type) { return {.verb = Verb::remove, .instance_type = type}; }

using Strings = std::vector<std::string>;

}  // namespace

TEST_CASE("autoscale: a rule's fleet is named after type and market, cut with a hash") {
  CHECK(Rule{.instance_type = "m5.xlarge", .market = Market::spot}.fleet_name() == "auto-m5-xlarge-spot");
  CHECK(Rule{.instance_type = "m5.xlarge"}.fleet_name() == "auto-m5-xlarge-od");
  const std::string a = Rule{.instance_type = "u-very-long-name-of-a-type-1.metal-112xlarge"}.fleet_name();
  const std::string b = Rule{.instance_type = "u-very-long-name-of-a-type-1.metal-113xlarge"}.fleet_name();
  CHECK(a.size() == 41);
  CHECK(b.size() == 41);
  CHECK(a != b);
}

TEST_CASE("autoscale: durations and instance types are read as what they are, and nothing else is") {
  CHECK(parse_duration("90s") == 90);
  CHECK(parse_duration("5m") == 300);
  CHECK(parse_duration("2h") == 7200);
  CHECK(parse_duration("1d") == 86400);
  CHECK(parse_duration("1w") == 604800);
  for (const char* text : {"", "5", "m", "-5m", "5 m", "5x", "1.5h", "99999999999999999999w", "1000w"})
    CHECK_FALSE(parse_duration(text));
  CHECK(looks_like_instance_type("u-6tb1.56xlarge"));
  for (const char* text : {"", "m5", ".large", "m5.", "M5.large", "m5.large.x", "m5 .large", "m5/.large"})
    CHECK_FALSE(looks_like_instance_type(text));
}

TEST_CASE("autoscale allow: what is not a rule is refused before anybody is asked") {
  Fixture f;
  AutoscaleCommand command = allow_command();
  command.spot = true;
  CHECK(f.execute(command) == 64);
  command = allow_command();
  command.on_demand = false;
  CHECK(f.execute(command) == 64);
  for (const char* maximum : {"0", "-1", "x", "1.5", "", "99999999999"})
    CHECK(f.execute(allow_command("m5.large", maximum)) == 64);
  CHECK_THAT(f.talk.str(), ContainsSubstring("--max 0: use remove"));
  command = allow_command();
  command.idle = "soon";
  CHECK(f.execute(command) == 64);
  CHECK(f.execute(allow_command("m5")) == 65);
  CHECK(f.execute({.verb = Verb::remove}) == 64);
  CHECK(f.execute({.verb = Verb::remove, .instance_type = "m5.large", .all = true}) == 64);
  CHECK(f.fake.asked().empty());
}

TEST_CASE("autoscale allow: a new rule is a fleet with these fields and no others") {
  Fixture f;
  AutoscaleCommand command = allow_command();
  command.on_demand = false;
  command.spot = true;
  command.regions = {"us-west-2"};
  CHECK(f.execute(command) == 0);
  const json configuration = {{"type", "fleet"},
                              {"name", "auto-m5-large-spot"},
                              {"nodes", {{"min", 0}, {"target", 0}, {"max", 2}}},
                              {"backends", {"aws"}},
                              {"instance_types", {"m5.large"}},
                              {"spot_policy", "spot"},
                              {"idle_duration", "5m"},
                              {"regions", {"us-west-2"}},
                              {"tags", {{"dstack-autoscale", "m5.large/spot"}, {"dstack-autoscale-max", "2"}}}};
  const json spec = {{"configuration", configuration}, {"profile", {{"name", "default"}}}};
  CHECK(f.applied() == json{{"plan", {{"spec", spec}}}, {"force", true}});
  CHECK(f.fake.bodies("project/p/fleets/get_plan") == std::vector<json>{{{"spec", spec}}});
  CHECK(f.out.str() == "m5.large spot: at most 2, from $0.096 an hour in us-east-1, us-west-2\n");
  CHECK_THAT(f.talk.str(), ContainsSubstring("spot_policy"));
}

TEST_CASE("autoscale allow: what AWS does not offer is an error that says why, and nothing is changed") {
  Fixture f;
  f.model.offers_for["m5.large/on-demand"] = json::array();
  f.model.offers_for["m5.large/spot"] = json::array();
  SECTION("no such type") {
    CHECK(f.execute(allow_command()) == 65);
    CHECK_THAT(
        f.talk.str(),
        ContainsSubstring("m5.large is not an instance type that AWS offers here (regions us-east-1, us-west-2)") &&
            ContainsSubstring("experimental_instance_types"));
    // The sizes of the family are asked for.
    CHECK_THAT(f.talk.str(), ContainsSubstring("the nearest are m5.large"));
  }
  SECTION("the other market only") {
    f.model.offers_for["m5.large/spot"] = json::array({offer("m5.large", "us-east-1", 0.1)});
    CHECK(f.execute(allow_command()) == 65);
    CHECK(f.talk.str() == "m5.large is offered as spot only");
  }
  SECTION("on demand only") {
    f.model.offers_for["m5.large/on-demand"] = json::array({offer("m5.large", "us-east-1", 0.1)});
    AutoscaleCommand command = allow_command();
    command.on_demand = false;
    command.spot = true;
    CHECK(f.execute(command) == 65);
    CHECK(f.talk.str() == "m5.large is offered on demand only");
  }
  SECTION("no quota") {
    f.model.offers_for["m5.large/on-demand"] = {offer("m5.large", "us-east-1", 0.1, "no_quota"),
                                                offer("m5.large", "us-west-2", 0.1, "no_quota")};
    CHECK(f.execute(allow_command()) == 65);
    CHECK(f.talk.str() == "your AWS quota for m5.large is 0 in us-east-1, us-west-2");
  }
  SECTION("no AWS") {
    f.model.backends = json::array();
    CHECK(f.execute(allow_command()) == 78);
    CHECK_THAT(f.talk.str(), ContainsSubstring("dstack-shim aws configure"));
  }
  SECTION("no AWS, and a user who is no member of the project, which is public") {
    f.model.backends = json::array();
    f.model.user["username"] = "bob";
    CHECK(f.execute(allow_command()) == 77);
    CHECK(f.talk.str() == "bob is no member of project p");
    f.model.user["global_role"] = "admin";
    CHECK(f.execute(allow_command()) == 78);
  }
  CHECK(f.changes().empty());
}

TEST_CASE("autoscale allow: the nearest names are those with the fewest other characters") {
  CHECK(nearest("m5.xlarg", {"m5.large", "c5.xlarge", "m5.xlarge", "m5.xlarge", "m5.2xlarge"}) ==
        Strings{"m5.xlarge", "c5.xlarge", "m5.2xlarge"});
  CHECK(nearest("a.b", {}).empty());
}

TEST_CASE("autoscale allow: the same rule again changes nothing, and what is not given stays") {
  Fixture f;
  f.model.fleets = json::array({fleet("m5.large", "on-demand", 2, 2)});
  f.model.fleets[0]["spec"]["configuration"]["regions"] = {"us-west-2"};
  f.model.fleets[0]["spec"]["configuration"]["idle_duration"] = 90;
  CHECK(f.execute(allow_command()) == 0);
  CHECK(f.out.str() == "m5.large on-demand: unchanged\n");
  AutoscaleCommand command = allow_command();
  command.idle = "90s";
  CHECK(f.execute(command) == 0);
  CHECK(f.changes().empty());

  CHECK(f.execute(allow_command("m5.large", "3")) == 0);
  const json configuration = f.applied()["plan"]["spec"]["configuration"];
  CHECK(configuration["nodes"]["max"] == 3);
  CHECK(configuration["tags"]["dstack-autoscale-max"] == "3");
  CHECK(configuration["regions"] == json{"us-west-2"});
  CHECK(configuration["idle_duration"] == 90);
}

TEST_CASE("autoscale allow: another idle time, and another fleet of the name, are errors") {
  Fixture f;
  f.model.fleets = json::array({fleet("m5.large", "on-demand", 2, 2)});
  AutoscaleCommand command = allow_command();
  command.idle = "10m";
  CHECK(f.execute(command) == 1);
  CHECK_THAT(f.talk.str(), ContainsSubstring("autoscale remove m5.large"));
  f.model.fleets[0]["spec"]["configuration"].erase("tags");
  CHECK(f.execute(allow_command()) == 1);
  CHECK_THAT(f.talk.str(), ContainsSubstring("auto-m5-large-od already"));
  CHECK(f.changes().empty());
}

TEST_CASE("autoscale allow: while all rules are off a new one is stored and off") {
  Fixture f;
  f.model.fleets = json::array({fleet("c5.large", "spot", 0, 4), fleet("c6.large", "spot", 0, 0)});
  CHECK(f.execute(allow_command()) == 0);
  CHECK(f.applied()["plan"]["spec"]["configuration"]["nodes"]["max"] == 0);
  CHECK(f.applied()["plan"]["spec"]["configuration"]["tags"]["dstack-autoscale-max"] == "2");
  CHECK_THAT(f.talk.str(), ContainsSubstring("the rules are off"));
  // One that is half removed does not count.
  f.model.fleets = json::array({fleet("c6.large", "spot", 0, 0)});
  CHECK(f.execute(allow_command()) == 0);
  CHECK(f.applied()["plan"]["spec"]["configuration"]["nodes"]["max"] == 2);
}

TEST_CASE("autoscale: machines end in the order without a job, idle, busy, and of each the newest first") {
  std::vector<server_api::Instance> instances;
  const auto add = [&](std::int64_t number, const char* status, std::int64_t busy_blocks = 0) {
    instances.push_back({.id = std::to_string(number),
                         .name = std::to_string(number),
                         .number = number,
                         .status = status,
                         .busy_blocks = busy_blocks,
                         .created = "2026-11-28T10:00:0" + std::to_string(number)});
  };
  add(0, "busy");
  add(1, "idle");
  add(2, "provisioning");
  add(3, "idle");
  add(4, "pending");
  add(5, "provisioning", 1);
  add(6, "terminating");
  const auto order = [&](std::int64_t maximum, const std::set<std::string>& in_use = {}) {
    std::string text;
    const Extra extra = extra_instances(instances, maximum, in_use);
    for (const auto& found : extra.free) text += found.name;
    text += "|";
    for (const auto& found : extra.busy) text += found.name;
    return text;
  };
  CHECK(order(0) == "4231|50");
  CHECK(order(2) == "4231|");
  CHECK(order(3) == "423|");
  CHECK(order(6) == "|");
  CHECK(order(1, {"4"}) == "231|54");
}

TEST_CASE("autoscale allow: a lower maximum ends machines without a job at once, one call each") {
  Fixture f;
  const std::string name = "auto-m5-large-od";
  f.model.fleets = json::array({fleet("m5.large", "on-demand", 4, 4,
                                      {instance(name, 0, "busy", "10.0.0.1"), instance(name, 1, "idle", "10.0.0.2"),
                                       instance(name, 2, "idle", "10.0.0.3"), instance(name, 3, "provisioning")})});
  CHECK(f.execute(allow_command("m5.large", "2")) == 0);
  CHECK(f.changes() == Strings{"apply 2", "delete_instances [3]", "delete_instances [2]"});
  CHECK_THAT(f.out.str(),
             ContainsSubstring("auto-m5-large-od-3 is ended") && ContainsSubstring("auto-m5-large-od-2 is ended"));
  CHECK_THAT(f.out.str(), !ContainsSubstring("od-1"));
  // Fewer machines need no offer.
  CHECK(f.fake.bodies("project/p/fleets/get_plan").empty());
}

TEST_CASE("autoscale allow: busy machines end only with consent, and without it nothing is changed") {
  Fixture f;
  const std::string name = "auto-m5-large-od";
  f.model.fleets = json::array({fleet("m5.large", "on-demand", 3, 3,
                                      {instance(name, 0, "busy", "10.0.0.1"), instance(name, 1, "busy", "10.0.0.2"),
                                       instance(name, 2, "idle", "10.0.0.3")})});
  f.model.runs =
      json::array({run("one", name, "10.0.0.1"), run("two", name, "10.0.0.2"), run("other", "elsewhere", "10.0.0.2")});
  AutoscaleCommand command = allow_command("m5.large", "1");
  SECTION("nobody to ask") {
    CHECK(f.execute(command) == 1);
    CHECK_THAT(f.talk.str(),
               ContainsSubstring("auto-m5-large-od-1 (run two) is busy") && ContainsSubstring("nothing was changed"));
    CHECK(f.changes().empty());
  }
  SECTION("a person says no") {
    f.ask = [](const std::string&) { return false; };
    CHECK(f.execute(command) == 1);
    CHECK(f.changes().empty());
  }
  SECTION("a person says yes, and is asked once") {
    int asked = 0;
    f.ask = [&](const std::string& question) {
      CHECK_THAT(question, ContainsSubstring("run two") && !ContainsSubstring("run one"));
      ++asked;
      return true;
    };
    CHECK(f.execute(command) == 0);
    CHECK(asked == 1);
    CHECK(f.changes() == Strings{"apply 1", "delete_instances [2]", "stop [\"two\"]true", "delete_instances [1]"});
  }
  SECTION("--yes") {
    command.yes = true;
    CHECK(f.execute(command) == 0);
    CHECK(f.changes() == Strings{"apply 1", "delete_instances [2]", "stop [\"two\"]true", "delete_instances [1]"});
    CHECK(f.out.str() == "m5.large on-demand: at most 1\nauto-m5-large-od-1 is ended\nauto-m5-large-od-2 is ended\n");
  }
  SECTION("--drain") {
    command.drain = true;
    CHECK(f.execute(command) == 0);
    CHECK(f.changes() == Strings{"apply 1", "delete_instances [2]"});
    CHECK_THAT(f.out.str(), ContainsSubstring("auto-m5-large-od-1 (run two) ends with its job"));
  }
  SECTION("a run whose stop the server has lost is stopped again") {
    command.yes = true;
    f.model.lost_stops = 1;
    CHECK(f.execute(command) == 0);
    CHECK(f.changes() == Strings{"apply 1", "delete_instances [2]", "stop [\"two\"]true", "delete_instances [1]",
                                 "stop [\"two\"]true", "delete_instances [1]"});
  }
  SECTION("one that the server does not let go of is asked for during 120 s") {
    command.yes = true;
    f.model.kept_busy.insert("auto-m5-large-od-1");
    CHECK(f.execute(command) == 1);
    CHECK_THAT(f.talk.str(), ContainsSubstring("auto-m5-large-od-1 has not ended within 120 s"));
    CHECK(f.fake.bodies("project/p/runs/stop").size() == 1);
    CHECK(f.fake.bodies("project/p/fleets/delete_instances").size() > 100);
  }
}

TEST_CASE("autoscale: a machine that a job is about to take counts as busy") {
  Fixture f;
  const std::string name = "auto-m5-large-od";
  json waiting = instance(name, 1, "pending");
  waiting["placeholder"] = true;
  f.model.fleets =
      json::array({fleet("m5.large", "on-demand", 2, 2, {instance(name, 0, "idle", "10.0.0.1"), waiting})});
  f.model.runs = json::array({run("soon", name, nullptr)});
  SECTION("the idle one is ended in its place") {
    CHECK(f.execute(allow_command("m5.large", "1")) == 0);
    CHECK(f.changes() == Strings{"apply 1", "delete_instances [1]", "delete_instances [0]"});
  }
  SECTION("its run is stopped with consent") {
    AutoscaleCommand command{.verb = Verb::disable, .yes = true};
    CHECK(f.execute(command) == 0);
    CHECK(f.fake.bodies("project/p/runs/stop") == std::vector<json>{{{"runs_names", {"soon"}}, {"abort", true}}});
  }
  SECTION("without consent it is left, with the maximum lowered") {
    CHECK(f.execute({.verb = Verb::disable}) == 1);
    CHECK_THAT(f.talk.str(), ContainsSubstring("(run soon) is busy") && ContainsSubstring("lowered already"));
    CHECK(f.fake.bodies("project/p/runs/stop").empty());
  }
}

TEST_CASE("autoscale remove: both rules of a type go with their machines, and no others") {
  Fixture f;
  f.model.fleets =
      json::array({fleet("m5.large", "on-demand", 2, 2, {instance("auto-m5-large-od", 0, "idle", "10.0.0.1")}),
                   fleet("m5.large", "spot", 1, 1), fleet("c5.large", "spot", 1, 1)});
  CHECK(f.execute(remove_command("m5.large")) == 0);
  CHECK(f.changes() ==
        Strings{"apply 0", "delete_instances [0]", "delete auto-m5-large-od", "apply 0", "delete auto-m5-large-spot"});
  REQUIRE(f.model.fleets.size() == 1);
  CHECK(f.model.fleets[0]["name"] == "auto-c5-large-spot");

  CHECK(f.execute(remove_command("m5.large")) == 1);
  CHECK_THAT(f.talk.str(), ContainsSubstring("there is no rule for m5.large: there are c5.large spot"));
  CHECK(f.execute({.verb = Verb::remove, .all = true}) == 0);
  CHECK(f.execute({.verb = Verb::remove, .all = true}) == 0);
}

TEST_CASE("autoscale remove --drain: the rule stays without new machines until it is removed again") {
  Fixture f;
  f.model.fleets =
      json::array({fleet("m5.large", "on-demand", 2, 2, {instance("auto-m5-large-od", 0, "busy", "10.0.0.1")})});
  f.model.runs = json::array({run("one", "auto-m5-large-od", "10.0.0.1")});
  AutoscaleCommand command = remove_command("m5.large");
  CHECK(f.execute(command) == 1);
  CHECK(f.changes().empty());
  command.drain = true;
  CHECK(f.execute(command) == 0);
  CHECK(f.changes() == Strings{"apply 0"});
  CHECK_THAT(f.out.str(), ContainsSubstring("auto-m5-large-od-0 (run one) ends with its job"));
  // It is not brought back by enable.
  CHECK(f.execute({.verb = Verb::enable}) == 0);
  CHECK(f.changes() == Strings{"apply 0"});
  f.model.fleets[0]["instances"][0]["status"] = "idle";
  CHECK(f.execute(command) == 0);
  CHECK(f.model.fleets.empty());
}

TEST_CASE("autoscale: a step that fails leaves the rest done, says which, and the next call finishes") {
  Fixture f;
  f.model.fleets =
      json::array({fleet("a1.large", "spot", 1, 1), fleet("b1.large", "spot", 1, 1), fleet("c1.large", "spot", 1, 1)});
  f.model.refuses_update_of = "auto-b1-large-spot";
  CHECK(f.execute({.verb = Verb::remove, .all = true}) == 1);
  CHECK(f.talk.str() == "b1.large spot: Not this one.\n");
  CHECK(f.model.fleets.size() == 1);
  f.model.refuses_update_of = "";
  CHECK(f.execute({.verb = Verb::remove, .all = true}) == 0);
  CHECK(f.model.fleets.empty());
}

TEST_CASE("autoscale disable and enable: all rules go off with their machines and on as they were") {
  Fixture f;
  f.model.fleets =
      json::array({fleet("m5.large", "on-demand", 3, 3, {instance("auto-m5-large-od", 0, "idle", "10.0.0.1")}),
                   fleet("m5.large", "spot", 1, 1)});
  CHECK(f.execute({.verb = Verb::disable}) == 0);
  CHECK(f.changes() == Strings{"apply 0", "delete_instances [0]", "apply 0"});
  f.out.str("");
  CHECK(f.execute({.verb = Verb::disable}) == 0);
  CHECK(f.out.str() == "already disabled\n");
  CHECK(f.execute({.verb = Verb::enable}) == 0);
  CHECK(f.changes() == Strings{"apply 0", "delete_instances [0]", "apply 0", "apply 3", "apply 1"});
  f.out.str("");
  CHECK(f.execute({.verb = Verb::enable}) == 0);
  CHECK(f.out.str() == "already enabled\n");
}

TEST_CASE("autoscale info: a table for a person, JSON for a program") {
  Fixture f;
  const std::string name = "auto-m5-large-od";
  f.model.fleets =
      json::array({fleet("m5.large", "spot", 0, 4),
                   fleet("m5.large", "on-demand", 3, 3,
                         {instance(name, 0, "idle"), instance(name, 1, "busy"), instance(name, 2, "terminating")}),
                   fleet("c9.large", "spot", 1, 1),
                   {{"id", "x"}, {"name", "by-hand"}, {"status", "active"}, {"instances", json::array()}}});
  f.model.offers_for["c9.large/spot"] = json::array();
  CHECK(f.execute({.verb = Verb::info}) == 0);
  CHECK(f.out.str() ==
        "INSTANCE TYPE  PURCHASE   MAX  RUNNING  IDLE  REGIONS              PRICE   STATE\n"
        "c9.large       spot       1    0        0     -                    -       no offers\n"
        "m5.large       on-demand  3    2        1     us-east-1,us-west-2  $0.096  enabled\n"
        "m5.large       spot       4    0        0     us-east-1,us-west-2  $0.096  disabled\n");
  f.out.str("");
  CHECK(f.execute({.verb = Verb::info, .json = true}) == 0);
  const json said = json::parse(f.out.str());
  CHECK(said["enabled"] == "mixed");
  CHECK(said["aws"] == json{{"configured", true}, {"regions", {"us-east-1", "us-west-2"}}});
  CHECK(said["rules"][1] == json{{"instance_type", "m5.large"},
                                 {"purchase", "on-demand"},
                                 {"max", 3},
                                 {"active", 2},
                                 {"busy", 1},
                                 {"idle", 1},
                                 {"regions", {"us-east-1", "us-west-2"}},
                                 {"price", 0.0961},
                                 {"state", "enabled"},
                                 {"fleet", name}});
  CHECK(said["rules"][0]["price"].is_null());

  f.model.fleets = json::array();
  f.model.backends = json::array();
  f.out.str("");
  CHECK(f.execute({.verb = Verb::info, .json = true}) == 0);
  CHECK(json::parse(f.out.str()) ==
        json::parse(R"({"enabled":true,"aws":{"configured":false,"regions":[]},"rules":[]})"));
}

}  // namespace dstack::shim::autoscale
