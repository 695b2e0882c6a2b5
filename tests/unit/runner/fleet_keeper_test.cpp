#include "runner/join/fleet_keeper.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "common/os/file.h"
#include "common/server_api/failure.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_directory.h"

namespace dstack::runner::join {

using namespace std::chrono_literals;
using nlohmann::json;
using server_api::Failure;
using server_api::FailureKind;
using server_api::Fleet;
using What = FleetKeeper::Next::What;

namespace {

class FakeFleetServer final : public FleetServer {
 public:
  std::optional<Fleet> fleet(const std::string& name) override {
    if (failure) throw Failure(*failure);
    const auto found = fleets.find(name);
    return found == fleets.end() ? std::nullopt : std::optional(found->second);
  }
  void create(const json& spec) override {
    if (refusal) throw Failure(*refusal);
    created.push_back(spec);
  }
  void remove(const std::string& name) override {
    removed.push_back(name);
    fleets.erase(name);
  }

  std::map<std::string, Fleet> fleets;
  std::optional<Failure> failure;
  std::optional<Failure> refusal;
  std::vector<json> created;
  std::vector<std::string> removed;
};

struct Joining {
  test::TemporaryDirectory folder;
  Places places{.root = folder.path()};
  test::FakeClock clock;
  FakeFleetServer server;
  std::optional<Progress> progress;
  std::optional<StateFile> state;
  std::optional<FleetKeeper> keeper;

  bool is_leaving = false;

  explicit Joining(bool was_live = false, bool name_is_chosen = false) {
    os::make_directories(places.folder(), 0700);
    progress.emplace(places, clock);
    state.emplace(places, State{.name = "sugar",
                                .name_is_chosen = name_is_chosen,
                                .address = {"127.0.0.1", 10023},
                                .environment = {{"A", "b"}},
                                .was_live = was_live});
    keeper.emplace(server, *state,
                   FleetTerms{.runner_id = "my-id",
                              .host_name = "sugar",
                              .container_program = "/usr/local/lib/dstack/containers/dstack-runner",
                              .public_key = "ssh-ed25519 AAAA",
                              .private_key = Secret("KEY"),
                              .is_leaving = [this] { return is_leaving; }},
                   *progress, clock);
  }

  Fleet& fleet(const std::string& status, const std::string& id = "my-id") {
    Fleet made{.name = "sugar", .status = "active", .over_ssh = true, .hosts = {{"127.0.0.1", 10023}}};
    made.environment["DSTACK_RUNNER_ID"] = id;
    if (!status.empty()) made.instances.push_back({.id = "i", .name = "sugar-0", .status = status});
    return server.fleets["sugar"] = made;
  }
};

}  // namespace

TEST_CASE("fleet: it is made once the way in is open, and not before") {
  Joining joining;
  CHECK(joining.keeper->look().pause == 60s);
  CHECK(joining.server.created.empty());
  joining.progress->way_in(true, "");
  CHECK(joining.keeper->look().what == What::look_again);
  REQUIRE(joining.server.created.size() == 1);
  CHECK(joining.server.created[0] == json::parse(R"({"configuration":{"type":"fleet","name":"sugar","blocks":1,
    "ssh_config":{"hosts":[{"hostname":"127.0.0.1","port":10023,"user":"root","ssh_key":{"public":"ssh-ed25519 AAAA","private":"KEY"}}]},
    "env":{"A":"b","DSTACK_RUNNER_ID":"my-id","DSTACK_RUNNER_HOST":"sugar",
           "DSTACK_RUNNER_BINARY_PATH":"/usr/local/lib/dstack/containers/dstack-runner"}},"profile":{"name":"default"}})"));
}

TEST_CASE("fleet: one that leave has deleted is not made again before the agent has seen it live") {
  Joining joining;
  joining.progress->way_in(true, "");
  joining.is_leaving = true;
  CHECK(joining.keeper->look().what == What::look_again);
  CHECK(joining.server.created.empty());
  joining.is_leaving = false;
  joining.keeper->look();
  CHECK(joining.server.created.size() == 1);
}

TEST_CASE("fleet: the first time that it is live is kept, and then it is looked at every minute") {
  Joining joining;
  joining.fleet("provisioning");
  CHECK(joining.keeper->look().pause < 60s);
  CHECK_FALSE(joining.state->get().was_live);
  joining.fleet("idle");
  CHECK(joining.keeper->look().pause == 60s);
  CHECK(load_state(joining.places)->was_live);
}

TEST_CASE("fleet: one that was live and is gone, or is empty, or is another's by now, was deleted") {
  Joining gone(true);
  CHECK(gone.keeper->look().what == What::deleted);
  CHECK(gone.server.created.empty());
  Joining empty(true);
  empty.fleet("");
  CHECK(empty.keeper->look().what == What::deleted);
  Joining taken(true);
  taken.fleet("idle", "another-id");
  CHECK(taken.keeper->look().what == What::deleted);
}

TEST_CASE("fleet: one that is being deleted is waited for") {
  Joining joining(true);
  joining.fleet("terminating").status = "terminating";
  CHECK(joining.keeper->look().what == What::look_again);
}

TEST_CASE("fleet: a host that the server gave up is made anew, after pauses that double up to half an hour") {
  Joining joining(true);
  joining.progress->way_in(true, "");
  std::vector<std::chrono::seconds> pauses;
  for (int i = 0; i < 7; ++i) {
    joining.fleet("terminated").instances[0].termination_reason = "provisioning_timeout";
    CHECK(joining.keeper->look().what == What::look_again);
    // It was live once; that it is gone now is its own doing, also after a restart.
    CHECK_FALSE(load_state(joining.places)->was_live);
    const auto next = joining.keeper->look();
    CHECK(joining.server.created.size() == static_cast<std::size_t>(i));
    pauses.push_back(next.pause);
    joining.clock.advance(next.pause);
    joining.keeper->look();
    CHECK(joining.server.created.size() == static_cast<std::size_t>(i + 1));
  }
  CHECK(pauses == std::vector<std::chrono::seconds>{60s, 120s, 240s, 480s, 960s, 1800s, 1800s});
  CHECK(joining.server.removed.size() == 7);
}

TEST_CASE("fleet: another address is put right once no job runs there") {
  Joining joining(true);
  joining.fleet("busy").hosts[0].port = 22;
  joining.keeper->look();
  CHECK(joining.server.removed.empty());
  joining.fleet("idle").hosts[0].port = 22;
  joining.keeper->look();
  CHECK(joining.server.removed == std::vector<std::string>{"sugar"});
}

TEST_CASE("fleet: a made-up name that is taken gets a number, a chosen one is a failure that says whose it is") {
  Joining generated;
  generated.progress->way_in(true, "");
  generated.fleet("idle", "another-id");
  CHECK(generated.keeper->look().pause == 0s);
  CHECK(load_state(generated.places)->name == "sugar-2");
  generated.server.refusal = Failure(FailureKind::refused, "Resource exists", 400, "resource_exists");
  CHECK(generated.keeper->look().what == What::look_again);
  CHECK(generated.state->get().name == "sugar-3");

  Joining chosen(false, true);
  chosen.fleet("idle", "another-id").environment["DSTACK_RUNNER_HOST"] = "other-host";
  CHECK(chosen.keeper->look().what == What::failed);
  CHECK(read_progress(chosen.places)->at("failed").get<std::string>().contains("other-host"));
}

TEST_CASE("fleet: a name that is about to be free is waited for, for a minute") {
  Joining joining;
  joining.fleet("terminating", "another-id").status = "terminating";
  CHECK(joining.keeper->look().pause == 2s);
  joining.clock.advance(59s);
  CHECK(joining.keeper->look().pause == 2s);
  joining.clock.advance(2s);
  joining.keeper->look();
  CHECK(joining.state->get().name == "sugar-2");
}

TEST_CASE("fleet: a refused token is reported and asked again after five minutes, and nothing is ended") {
  Joining joining(true);
  joining.server.failure = Failure(FailureKind::invalid_token, "the token is not valid at http://h", 403);
  const auto next = joining.keeper->look();
  CHECK(next.what == What::look_again);
  CHECK(next.pause == 300s);
  CHECK(read_progress(joining.places)->at("server_problem") == "the token is not valid at http://h");
  joining.server.failure = Failure(FailureKind::unreachable, "cannot reach http://h", 0);
  CHECK(joining.keeper->look().pause == 60s);
  joining.server.failure.reset();
  joining.fleet("idle");
  joining.keeper->look();
  CHECK(read_progress(joining.places)->at("server_problem") == "");
}

}  // namespace dstack::runner::join
