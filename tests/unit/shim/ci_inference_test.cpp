#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <map>
#include <string>

#include "common/command_error.h"
#include "shim/ci/agent_environment.h"
#include "shim/ci/idle_time.h"
#include "shim/ci/infer.h"
#include "shim/ci/repository.h"

namespace dstack::shim::ci {

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

Variables variables(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const char* name) -> const char* {
    const auto found = values.find(name);
    return found == values.end() ? nullptr : found->second.c_str();
  };
}

std::string no_origin() { return ""; }

std::string url_of(const std::string& text) {
  const auto repository = parse_repository(text);
  return repository ? repository->url() : "";
}

}  // namespace

TEST_CASE("idle times are seconds, have a unit, or never end") {
  CHECK(parse_idle_time("300")->limit == 300s);
  CHECK(parse_idle_time("90s")->limit == 90s);
  CHECK(parse_idle_time("5 min")->limit == 5min);
  CHECK(parse_idle_time("5min")->limit == 5min);
  CHECK(parse_idle_time("10 minutes")->limit == 10min);
  CHECK(parse_idle_time("2h")->limit == 2h);
  CHECK(parse_idle_time("1 days")->limit == 24h);
  for (const char* never : {"never", "0", "-1", "-5 min", "Never"}) {
    CAPTURE(never);
    REQUIRE(parse_idle_time(never));
    CHECK_FALSE(parse_idle_time(never)->limit);
  }
  for (const char* wrong :
       {"", "soon", "1.5h", "5 weeks", "min", "99999999999999999999", "9223372036854775807d", "5 5"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_idle_time(wrong));
  }
}

TEST_CASE("a repository's address loses credentials, .git and slashes") {
  CHECK(url_of("https://gitlab.com/team/project") == "https://gitlab.com/team/project");
  CHECK(url_of("https://user:pass@gitlab.example.org:8443/a/b/c.git/") == "https://gitlab.example.org:8443/a/b/c");
  CHECK(url_of("git@github.com:team/project.git") == "https://github.com/team/project");
  CHECK(url_of("ssh://git@gitlab.example.org:2222/team/project.git") == "https://gitlab.example.org/team/project");
  CHECK(url_of("http://127.0.0.1:8080/group") == "http://127.0.0.1:8080/group");
  for (const char* wrong : {"", "project", "https://gitlab.com", "https://gitlab.com/", "ftp://host/x", "/srv/git/x"}) {
    CAPTURE(wrong);
    CHECK(url_of(wrong).empty());
  }
}

TEST_CASE("the token comes from the flag, then from the variables in order") {
  CHECK(infer_token(Secret("flag"), variables({{"REPO_TOKEN", "a"}})).reveal() == "flag");
  CHECK(infer_token({}, variables({{"REPO_TOKEN", ""}, {"repo_token", "b"}, {"GITLAB_TOKEN", "d"}})).reveal() == "b");
  CHECK(infer_token({}, variables({{"GITHUB_TOKEN", "c"}, {"GITLAB_TOKEN", "d"}})).reveal() == "c");
  try {
    infer_token({}, variables({}));
    FAIL();
  } catch (const CommandError& error) {
    CHECK(error.exit_status() == 2);
    CHECK_THAT(error.what(), ContainsSubstring("--token") && ContainsSubstring("REPO_TOKEN"));
  }
}

TEST_CASE("the repository comes from the flag, the CI's variables, the git folder") {
  const auto url = [](const std::string& given, std::map<std::string, std::string> values, std::string origin) {
    return infer_repository(given, variables(std::move(values)), [origin] { return origin; }).url();
  };
  CHECK(url("https://a.org/x", {{"CI_PROJECT_URL", "https://b.org/y"}}, "") == "https://a.org/x");
  CHECK(url("", {{"CI_PROJECT_URL", "https://b.org/y"}}, "https://c.org/z") == "https://b.org/y");
  CHECK(url("", {{"GITHUB_SERVER_URL", "https://github.com"}, {"GITHUB_REPOSITORY", "o/r"}}, "") ==
        "https://github.com/o/r");
  CHECK(url("", {}, "git@c.org:z/w.git") == "https://c.org/z/w");
  try {
    infer_repository("", variables({}), no_origin);
    FAIL();
  } catch (const CommandError& error) {
    CHECK(error.exit_status() == 2);
    CHECK_THAT(error.what(), ContainsSubstring("--repo"));
  }
}

TEST_CASE("the driver comes from the flag, the host, the CI's variables, else the host is asked") {
  const auto driver = [](const std::string& given, const std::string& url, std::map<std::string, std::string> values) {
    return infer_driver(given, *parse_repository(url), variables(std::move(values)));
  };
  CHECK(driver("gitlab", "https://github.com/o/r", {}) == "gitlab");
  CHECK(driver("", "https://github.com/o/r", {{"CI_PROJECT_URL", "x"}}) == "github");
  CHECK(driver("", "https://team.ghe.com/o/r", {}) == "github");
  CHECK(driver("", "https://gitlab.com/o/r", {{"GITHUB_REPOSITORY", "o/r"}}) == "gitlab");
  CHECK(driver("", "https://git.org/o/r", {{"GITHUB_REPOSITORY", "o/r"}, {"CI_PROJECT_URL", "x"}}) == "github");
  CHECK(driver("", "https://git.org/o/r", {{"CI_PROJECT_URL", "x"}}) == "gitlab");
  CHECK_FALSE(driver("", "https://git.org/o/r", {}));
}

TEST_CASE("an agent gets no variable of a CI step, a cloud or a dstack server") {
  const char* environment[] = {
      "PATH=/bin",      "CI=true",          "CI_JOB_TOKEN=t", "REPO_TOKEN=t",         "repo_token=t",
      "GITHUB_TOKEN=t", "AWS_SECRET=t",     "DSTACK_TOKEN=t", "DSTACK_DOCKER_HOST=h", "RUNNER_X=1",
      "CML_RUNNER_A=1", "SSL_CERT_FILE=/c", "GOOGLE_X=1",     "ACTIONS_X=1",          "AZURE_X=1",
      nullptr};
  auto* const entries = const_cast<char* const*>(environment);
  CHECK(agent_environment(entries) == std::vector<std::string>{"PATH=/bin", "CI=true", "SSL_CERT_FILE=/c"});
  CHECK(shim_environment(entries) ==
        std::vector<std::string>{"PATH=/bin", "CI=true", "DSTACK_DOCKER_HOST=h", "SSL_CERT_FILE=/c"});
}

}  // namespace dstack::shim::ci
