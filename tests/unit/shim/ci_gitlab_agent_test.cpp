#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <vector>

#include "shim/ci/gitlab/agent.h"

namespace dstack::shim::ci::gitlab {

using Kind = AgentEvent::Kind;

namespace {

const AgentSettings kSettings{.program = "/opt/gitlab-runner",
                              .runner_name = "r",
                              .single = true,
                              .driver = "/usr/bin/dstack-shim",
                              .driver_arguments = {"ci", "gitlab", "--state", "/w/state"},
                              .server_url = "https://gitlab.com",
                              .token = Secret("glrt-secret"),
                              .config_file = "/w/config.toml"};

}  // namespace

TEST_CASE("the agent's command names the driver for each stage, a word an argument, and no token") {
  const std::vector<std::string> command = agent_command(kSettings);
  const std::vector<std::string> run{"--custom-run-exec", "/usr/bin/dstack-shim",
                                     "--custom-run-args", "ci",
                                     "--custom-run-args", "gitlab",
                                     "--custom-run-args", "--state",
                                     "--custom-run-args", "/w/state",
                                     "--custom-run-args", "run"};
  CHECK(std::ranges::search(command, run).begin() != command.end());
  CHECK(std::ranges::search(command, std::vector<std::string>{"--max-builds", "1"}).begin() != command.end());
  CHECK_FALSE(std::ranges::any_of(command, [](const std::string& word) { return word.contains("secret"); }));
}

TEST_CASE("the agent's token travels in its environment") {
  const std::vector<std::string> variables = agent_variables(kSettings, {"PATH=/bin"});
  CHECK(variables == std::vector<std::string>{"PATH=/bin", "CI_SERVER_URL=https://gitlab.com",
                                              "CI_SERVER_TOKEN=glrt-secret", "RUNNER_EXECUTOR=custom",
                                              "CONFIG_FILE=/w/config.toml"});
}

TEST_CASE("lines of gitlab-runner are events") {
  AgentEvent event = parse_line(R"({"job":17,"level":"info","msg":"Checking for jobs... received"})");
  CHECK(event.kind == Kind::job_started);
  CHECK(event.job == "17");
  event = parse_line(R"({"duration_s":1.5,"job":"17","level":"info","msg":"Job succeeded"})");
  CHECK(event.kind == Kind::job_ended);
  CHECK(event.result == "success");
  CHECK(event.seconds == 1.5);
  CHECK_FALSE(event.lost);
  event = parse_line(R"({"duration_s":2,"job":17,"level":"warning","msg":"Job failed: exit status 1"})");
  CHECK(event.result == "failed");
  CHECK_FALSE(event.lost);
  event = parse_line(R"({"job":17,"level":"warning","msg":"Job failed (system failure): aborted: terminated"})");
  CHECK(event.result == "failed");
  CHECK(event.lost);
  CHECK(parse_line(R"({"level":"warning","msg":"Checking for jobs... failed"})").kind == Kind::unreachable);
  CHECK(parse_line(R"({"level":"error","msg":"Checking for jobs... forbidden"})").kind == Kind::refused);
  for (const char* other :
       {R"({"level":"info","msg":"Starting runner"})", "{}", "", "panic: x", "[1]", R"({"msg":5})"}) {
    CAPTURE(other);
    CHECK(parse_line(other).kind == Kind::alive);
  }
}

TEST_CASE("an operator sees warnings of the agent that are not about a job") {
  CHECK(warning_in(R"({"level":"error","msg":"Checking for jobs... forbidden","error":"x"})") ==
        "Checking for jobs... forbidden: x");
  CHECK_FALSE(warning_in(R"({"level":"warning","msg":"Job failed: exit status 1"})"));
  CHECK_FALSE(warning_in(R"({"level":"info","msg":"Starting runner"})"));
  CHECK(warning_in("panic: x") == "panic: x");
}

}  // namespace dstack::shim::ci::gitlab
