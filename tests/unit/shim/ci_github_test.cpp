#include "shim/ci/github/github.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/http/server.h"
#include "tests/support/fake_clock.h"
#include "tests/support/running_server.h"

namespace dstack::shim::ci::github {

using Catch::Matchers::ContainsSubstring;

namespace {

// Answers every request for a run's jobs with `jobs`, and counts what it is asked to run again.
class RunServer {
 public:
  RunServer(std::string jobs, int status) {
    server_.get("/api/v3/repos/o/r/actions/runs/{run}/jobs", [jobs = std::move(jobs)](const http::Request&) {
      return http::Response{.status = 200, .content_type = "application/json", .body = jobs};
    });
    server_.post("/api/v3/repos/o/r/actions/jobs/{job}/rerun", [this, status](const http::Request& request) {
      const std::scoped_lock lock(mutex_);
      asked_.push_back(request.path_parameters.at("job"));
      return http::Response{.status = status, .content_type = "application/json", .body = R"({"message":"goes on"})"};
    });
    running_.emplace(server_);
  }

  RerunAnswer rerun(const std::string& runner) {
    test::FakeClock clock;
    GitHub github("http://127.0.0.1:" + std::to_string(running_->port()), "o", Secret("t0ken"), clock);
    return github.rerun({.id = "train", .project = "o/r", .pipeline = "5", .runner = runner}, {});
  }
  std::vector<std::string> asked() {
    const std::scoped_lock lock(mutex_);
    return asked_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> asked_;
  http::Server server_;
  std::optional<test::RunningServer> running_;
};

constexpr const char* kJobs = R"({"jobs":[
  {"id":11,"name":"lint","runner_id":70,"run_attempt":1,"conclusion":"failure"},
  {"id":12,"name":"train","runner_id":71,"run_attempt":1,"conclusion":"failure"},
  {"id":13,"name":"deploy","runner_id":72,"run_attempt":1,"conclusion":"success"},
  {"id":14,"name":"again","runner_id":73,"run_attempt":1,"conclusion":"failure"},
  {"id":15,"name":"again","runner_id":74,"run_attempt":2,"conclusion":null}]})";

}  // namespace

TEST_CASE("the API of GitHub has a host of its own, that of a GitHub Enterprise Server a path") {
  CHECK(api_url("https://github.com") == "https://api.github.com");
  CHECK(api_url("https://acme.ghe.com") == "https://api.acme.ghe.com");
  CHECK(api_url("https://github.example.org:8443") == "https://github.example.org:8443/api/v3");
}

TEST_CASE("only a repository or an organisation has runners") {
  test::FakeClock clock;
  for (const char* path : {"acme", "acme/demo"}) CHECK_NOTHROW(GitHub("https://github.com", path, {}, clock).check({}));
  for (const char* path : {"acme/demo/more", "/demo", "acme/"})
    CHECK_THROWS_WITH(GitHub("https://github.com", path, {}, clock).check({}), ContainsSubstring(path));
}

TEST_CASE("the next page of a list is found in the Link header") {
  CHECK(next_page(R"(<https://api.github.com/x?per_page=100&page=2>; rel="next", <https://x?page=9>; rel="last")") ==
        "per_page=100&page=2");
  CHECK(next_page(R"(<https://x?page=1>; rel="prev", <https://x?page=3>; rel="next")") == "page=3");
  CHECK(next_page(R"(<https://x?page=1>; rel="prev", <https://x?page=1>; rel="first")").empty());
  CHECK(next_page("").empty());
  CHECK(next_page("nonsense").empty());
  CHECK(next_page("<no end").empty());
}

TEST_CASE("a runner has GitHub's own labels before those given, each once") {
  const auto labels = all_labels({"gpu", "LINUX", "GPU"});
  REQUIRE(labels.size() == 4);
  CHECK(labels[0] == "self-hosted");
  CHECK(labels[1] == "Linux");
  CHECK((labels[2] == "X64" || labels[2] == "ARM64"));
  CHECK(labels[3] == "gpu");
}

TEST_CASE("labels are compared in any letter case") {
  test::FakeClock clock;
  GitHub github("https://github.com", "acme", {}, clock);
  const ListedRunner runner{.id = "1", .name = "r", .online = true, .labels = {"self-hosted", "GPU"}};
  CHECK(github.has_labels(runner, {"gpu", "Self-Hosted"}, {}));
  CHECK_FALSE(github.has_labels(runner, {"gpu", "cml"}, {}));
}

TEST_CASE("just the job of the lost runner is run again") {
  RunServer server(kJobs, 201);
  CHECK(server.rerun("71").rerun == Rerun::started);
  CHECK(server.asked() == std::vector<std::string>{"12"});
}

TEST_CASE("a job is not run again while its run goes on, and GitHub is quoted") {
  RunServer server(kJobs, 403);
  const RerunAnswer answer = server.rerun("71");
  CHECK(answer.rerun == Rerun::too_early);
  CHECK(answer.refusal == "HTTP 403: \"goes on\"");
}

TEST_CASE("a job that has succeeded, or was run again, is left alone") {
  RunServer server(kJobs, 201);
  CHECK(server.rerun("72").rerun == Rerun::not_needed);
  CHECK(server.rerun("73").rerun == Rerun::not_needed);
  CHECK_THROWS_AS(server.rerun("99"), CiFailure);
  CHECK(server.asked().empty());
}

}  // namespace dstack::shim::ci::github
