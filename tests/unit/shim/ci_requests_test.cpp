#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <mutex>
#include <thread>
#include <vector>

#include "common/http/server.h"
#include "shim/ci/gitlab/gitlab.h"
#include "shim/ci/requests.h"
#include "tests/support/fake_clock.h"
#include "tests/support/running_server.h"

namespace dstack::shim::ci {

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

// Answers with what was set, in order; the last for ever.
class Script {
 public:
  struct Answer {
    int status = 200;
    std::string body = "{}";
  };

  explicit Script(std::vector<Answer> answers) : answers_(std::move(answers)) {
    server_.get("/api/v4/{a}/{b}", [this](const http::Request& request) {
      const std::scoped_lock lock(mutex_);
      headers_.push_back(request.header("private-token").value_or(""));
      const Answer answer = answers_.front();
      if (answers_.size() > 1) answers_.erase(answers_.begin());
      return http::Response{.status = answer.status, .content_type = "application/json", .body = answer.body};
    });
    running_.emplace(server_);
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(running_->port()); }
  std::size_t asked() {
    const std::scoped_lock lock(mutex_);
    return headers_.size();
  }

 private:
  std::mutex mutex_;
  std::vector<Answer> answers_;
  std::vector<std::string> headers_;
  http::Server server_;
  std::optional<test::RunningServer> running_;
};

}  // namespace

TEST_CASE("how long to wait comes from the headers of a limit") {
  const os::WallTime now{std::chrono::seconds(1000)};
  const auto pause = [&](int status, std::map<std::string, std::string, std::less<>> headers) {
    return limit_pause({.status = status, .headers = std::move(headers), .body = ""}, now);
  };
  CHECK(pause(429, {{"retry-after", "7"}}) == 7s);
  CHECK(pause(403, {{"retry-after", "7"}}) == 7s);
  CHECK(pause(403, {{"x-ratelimit-remaining", "0"}, {"x-ratelimit-reset", "1090"}}) == 90s);
  CHECK(pause(429, {{"ratelimit-reset", "1005"}}) == 5s);
  CHECK(pause(429, {}) == 60s);
  CHECK(pause(429, {{"x-ratelimit-reset", "10"}}) == 1s);
  CHECK_FALSE(pause(403, {}));
  CHECK_FALSE(pause(403, {{"x-ratelimit-remaining", "3"}}));
  CHECK_FALSE(pause(500, {{"retry-after", "7"}}));
  CHECK_FALSE(pause(200, {}));
}

TEST_CASE("pauses grow to a minute") {
  GrowingPause growing;
  std::vector<std::chrono::seconds> pauses(8);
  for (auto& pause : pauses) pause = growing.next();
  CHECK(pauses == std::vector<std::chrono::seconds>{1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s});
}

TEST_CASE("a server that fails is asked again with growing pauses, and no longer than the patience") {
  Script script({{.status = 502}});
  test::FakeClock clock;
  Requests requests(script.url() + "/api/v4", "", {}, clock);
  std::string message;
  std::atomic<bool> over = false;
  const os::SteadyTime begin = clock.now();
  std::jthread asking([&] {
    try {
      requests.ask("GET", "/projects/1", "", {.stop = {}, .network = 10s});
    } catch (const Error& error) {
      message = error.what();
    }
    over = true;
  });
  while (!over) {
    if (!clock.end_next_wait(60s)) std::this_thread::yield();
  }
  asking.join();
  CHECK(clock.now() - begin == 7s);
  CHECK(script.asked() == 4);
  CHECK_THAT(message, ContainsSubstring("HTTP 502"));
}

TEST_CASE("what the CI says is quoted without the token") {
  test::FakeClock clock;
  Requests requests("http://127.0.0.1:1", "", Secret("s3cret"), clock);
  CHECK(requests.quote({.status = 403, .headers = {}, .body = R"({"error":"insufficient_scope"})"}) ==
        R"(HTTP 403: "insufficient_scope")");
  CHECK(requests.quote({.status = 400, .headers = {}, .body = R"({"message":{"tags":["x"]}})"}) ==
        R"(HTTP 400: "{\"tags\":[\"x\"]}")");
  CHECK_THAT(requests.quote({.status = 401, .headers = {}, .body = R"({"message":"bad s3cret token"})"}),
             !ContainsSubstring("s3cret") && ContainsSubstring("[hidden]"));
  CHECK(requests.quote({.status = 500, .headers = {}, .body = ""}) == "HTTP 500");
}

TEST_CASE("a project that is not there is looked for as a group") {
  Script script({{.status = 404, .body = R"({"message":"404 Project Not Found"})"}, {.body = R"({"id":9})"}});
  test::FakeClock clock;
  gitlab::GitLab gitlab(script.url(), "team", Secret("s3cret"), clock);
  gitlab.check({});
  CHECK(script.asked() == 2);
}

TEST_CASE("a token that is refused is quoted with its status") {
  Script script({{.status = 401, .body = R"({"message":"401 Unauthorized"})"}});
  test::FakeClock clock;
  gitlab::GitLab gitlab(script.url(), "team", Secret("s3cret"), clock);
  try {
    gitlab.check({});
    FAIL();
  } catch (const CiFailure& error) {
    CHECK(error.is_token_refused());
    CHECK_THAT(error.what(), ContainsSubstring("HTTP 401") && ContainsSubstring("401 Unauthorized"));
  }
}

}  // namespace dstack::shim::ci
