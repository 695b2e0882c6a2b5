#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <future>
#include <nlohmann/json.hpp>

#include "shim/ci/cloud/online.h"
#include "shim/ci/cloud/run_command.h"
#include "shim/ci/cloud/server_run.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_dstack_server.h"

namespace dstack::shim::ci::cloud {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using nlohmann::json;
using namespace std::chrono_literals;

namespace {

json run(const std::string& status, const json& submission = json::object(), const std::string& mark = "mine") {
  return {{"status", status},
          {"jobs", {{{"job_submissions", {{{"status", "pulling"}}, submission}}}}},
          {"run_spec", {{"configuration", {{"env", {{kSubmissionVariable, mark}}}}}}}};
}

json running() { return run("running", {{"status", "running"}}); }

// The runner is online once it has been listed `offline_looks` times.
class ListOnly final : public Ci {
 public:
  explicit ListOnly(int offline_looks, bool is_listed = true) : offline_(offline_looks), is_listed_(is_listed) {}
  void check(const Patience&) override {}
  std::vector<ListedRunner> runners(const Patience&) override {
    if (!is_listed_) return {};
    return {{.id = "1", .name = "other", .online = true}, {.id = "7", .name = "r", .online = ++looks_ > offline_}};
  }
  bool has_labels(const ListedRunner&, const std::vector<std::string>&, const Patience&) override { return false; }
  bool is_busy(const std::string&, const Patience&) override { return false; }
  Registration add(const std::string&, const std::vector<std::string>&, const Patience&) override { return {}; }
  bool is_listed(const std::string&, const Patience&) override { return true; }
  Removal withdraw(const std::string&, const Patience&) override { return Removal::removed; }
  Removal remove(const std::string&, const Secret&, const Patience&) override { return Removal::removed; }
  RerunAnswer rerun(const CiJob&, const Patience&) override { return {}; }

  int looks() const { return looks_; }

 private:
  const int offline_;
  const bool is_listed_;
  int looks_ = 0;
};

class Fixture {
 public:
  Fixture() : run_(server_.account(), "r", "mine", clock_, stop_.get_token()) {}

  // Waits for it with the clock turned.
  void await(Ci& ci) {
    auto waiting = std::async(
        std::launch::async, [&] { await_online(run_, "r", ci, {.name = "r", .id = "7"}, clock_, stop_.get_token()); });
    end_waits_until_ready(waiting);
    waiting.get();
  }
  void stop() {
    auto stopping = std::async(std::launch::async, [&] { run_.stop(10s); });
    end_waits_until_ready(stopping);
    stopping.get();
  }

  // Only pauses pass, not the limits of requests.
  void end_waits_until_ready(const std::future<void>& work) {
    while (work.wait_for(0ms) != std::future_status::ready) {
      if (!clock_.end_next_wait(5min)) work.wait_for(1ms);
    }
  }

  test::FakeDstackServer server_;
  test::FakeClock clock_;
  std::stop_source stop_;
  ServerRun run_;
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a backend that the project does not have is refused with the list of those it has") {
  server_.set(
      "projects/p/get", 200,
      {{"project_name", "p"}, {"backends", {{{"name", "aws"}}, {{"name", "gcp"}}}}, {"members", json::array()}});
  CHECK_NOTHROW(run_.check_backend("aws"));
  CHECK_THROWS_MATCHES(run_.check_backend("azure"), Error, MessageMatches(ContainsSubstring("aws, gcp")));
}

TEST_CASE_METHOD(Fixture, "a run without offers is refused, and a missing fleet is told from a missing machine") {
  const json none = {{"job_plans", {{{"total_offers", 0}}}}};
  const json some = {{"job_plans", {{{"total_offers", 12}}}}};
  server_.set("project/p/runs/get_plan", 200, some);
  CHECK(run_.plan({{"run_name", "r"}}) == 12);

  server_.set("project/p/runs/get_plan", 200, none);
  CHECK_THROWS_MATCHES(run_.plan({{"run_name", "r"}}), Error, MessageMatches(!ContainsSubstring("fleet")));

  server_.set("project/p/runs/get_plan", 200, none);
  server_.then("project/p/runs/get_plan", 200, some);
  CHECK_THROWS_MATCHES(run_.plan({{"run_name", "r"}}), Error, MessageMatches(ContainsSubstring("no fleet")));
  CHECK(server_.bodies("project/p/runs/get_plan").back().at("for_offers_only") == true);
}

TEST_CASE_METHOD(Fixture, "a submission whose answer was lost is not made twice") {
  server_.set("project/p/runs/apply", 502, {});
  server_.set("project/p/runs/get", 200, run("submitted"));
  auto submitting = std::async(std::launch::async, [&] { run_.submit({{"run_name", "r"}}); });
  end_waits_until_ready(submitting);
  CHECK_NOTHROW(submitting.get());
  CHECK(server_.bodies("project/p/runs/apply").size() == 1);
}

TEST_CASE_METHOD(Fixture, "a submission that did not arrive is made again, and a refusal is not") {
  server_.set("project/p/runs/apply", 502, {});
  server_.then("project/p/runs/apply", 200, run("submitted"));
  server_.set("project/p/runs/get", 400, test::FakeDstackServer::detail("Run not found", "resource_not_exists"));
  auto submitting = std::async(std::launch::async, [&] { run_.submit({{"run_name", "r"}}); });
  end_waits_until_ready(submitting);
  CHECK_NOTHROW(submitting.get());
  CHECK(server_.bodies("project/p/runs/apply").size() == 2);

  server_.set("project/p/runs/apply", 400, test::FakeDstackServer::detail("Cannot override active run", "error"));
  CHECK_THROWS_MATCHES(run_.submit({}), Error, MessageMatches(ContainsSubstring("Cannot override active run")));
}

TEST_CASE_METHOD(Fixture, "the CI is asked once the run's container has started, until the runner is online") {
  server_.set("project/p/runs/get", 200, run("provisioning", {{"status", "provisioning"}}));
  server_.then("project/p/runs/get", 200, run("running", {{"status", "pulling"}}));
  server_.then("project/p/runs/get", 200, running());
  ListOnly ci(2);
  await(ci);
  CHECK(ci.looks() == 3);
}

TEST_CASE_METHOD(Fixture, "a run that fails ends the wait with the server's reason") {
  server_.set("project/p/runs/get", 200, running());
  server_.then("project/p/runs/get", 200,
               run("terminating", {{"status", "terminating"},
                                   {"termination_reason", "interrupted_by_no_capacity"},
                                   {"termination_reason_message", "the instance is gone"}}));
  ListOnly ci(1000);
  CHECK_THROWS_MATCHES(await(ci), Error, MessageMatches(ContainsSubstring("the instance is gone")));

  server_.set("project/p/runs/get", 200,
              run("failed", {{"status", "failed"},
                             {"termination_reason", "container_exited_with_error"},
                             {"termination_reason_message", nullptr},
                             {"exit_status", 3}}));
  CHECK_THROWS_MATCHES(await(ci), Error,
                       MessageMatches(ContainsSubstring("container_exited_with_error (exit status 3)")));
}

TEST_CASE_METHOD(Fixture, "a run that has done its job already is as good as online") {
  server_.set("project/p/runs/get", 200, run("done", {{"status", "done"}}));
  ListOnly ci(1000);
  CHECK_NOTHROW(await(ci));
  json ending = run("terminating", {{"status", "terminating"}});
  ending["termination_reason"] = "all_jobs_done";
  server_.set("project/p/runs/get", 200, ending);
  CHECK_NOTHROW(await(ci));
}

TEST_CASE_METHOD(Fixture, "a run that the server no longer knows, and a runner that is gone, end the wait") {
  server_.set("project/p/runs/get", 400, test::FakeDstackServer::detail("Run not found", "resource_not_exists"));
  ListOnly ci(1000);
  CHECK_THROWS_MATCHES(await(ci), Error, MessageMatches(ContainsSubstring("no longer knows run r")));
  server_.set("project/p/runs/get", 200, running());
  ListOnly empty(0, false);
  CHECK_THROWS_MATCHES(await(empty), Error, MessageMatches(ContainsSubstring("was removed at the CI")));
}

TEST_CASE_METHOD(Fixture, "a server that restarts is waited for; one that stays away is not, for ever") {
  server_.set("project/p/runs/get", 503, {});
  server_.then("project/p/runs/get", 503, {});
  server_.then("project/p/runs/get", 200, running());
  ListOnly ci(0);
  CHECK_NOTHROW(await(ci));
  server_.set("project/p/runs/get", 503, {});
  CHECK_THROWS_AS(await(ci), server_api::Failure);
}

TEST_CASE_METHOD(Fixture, "a runner that never comes online ends the wait") {
  server_.set("project/p/runs/get", 200, running());
  ListOnly ci(1'000'000);
  CHECK_THROWS_MATCHES(await(ci), Error, MessageMatches(ContainsSubstring("not online")));
}

TEST_CASE_METHOD(Fixture, "only the own run is stopped, and not one that has ended") {
  server_.set("project/p/runs/stop", 200, nullptr);
  server_.set("project/p/runs/get", 200, run("provisioning", json::object(), "another's"));
  stop();
  server_.set("project/p/runs/get", 200, run("failed"));
  stop();
  server_.set("project/p/runs/get", 400, test::FakeDstackServer::detail("Run not found", "resource_not_exists"));
  stop();
  CHECK(server_.bodies("project/p/runs/stop").empty());

  server_.set("project/p/runs/get", 200, run("provisioning"));
  stop();
  CHECK(server_.bodies("project/p/runs/stop") == std::vector{json{{"runs_names", {"r"}}, {"abort", true}}});
}

}  // namespace dstack::shim::ci::cloud
