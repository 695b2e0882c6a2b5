#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <future>
#include <latch>
#include <mutex>
#include <nlohmann/json.hpp>
#include <semaphore>
#include <thread>

#include "common/error.h"
#include "common/os/file.h"
#include "common/text/base64.h"
#include "shim/docker/host_credentials.h"
#include "shim/docker/image_pull.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_engine.h"
#include "tests/support/no_more_threads.h"
#include "tests/support/pull_listener.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::shim::docker;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using test::FakeEngine;

namespace {

const std::string kPull = "POST /images/create";
const std::string kLayer = R"({"status":"Downloading","id":"aaa","progressDetail":{"current":5,"total":10}})"
                           "\n";
const std::string kDone = R"({"status":"Status: Downloaded newer image for app:1"})"
                          "\n";

// An Error as it comes out of another thread.
struct Failure {
  ErrorKind kind;
  std::string message;
};

struct Fixture {
  FakeEngine engine;
  test::FakeClock clock;
  EngineClient client{engine_at_socket(engine.socket_path()), clock};
  std::mutex mutex;
  std::vector<PullOutcome> ends;  // what the puller reported
  ImagePuller puller{{.engine = client, .clock = clock, .on_end = [this](const PullOutcome& outcome) {
                        const std::scoped_lock lock(mutex);
                        ends.push_back(outcome);
                      }}};
  test::TemporaryDirectory folder;
  std::stop_source stop;

  PullRequest request(const std::string& image = "app:1", const std::string& log = "pull.log") {
    return {.image = parse_image_reference(image), .credentials = {}, .log_file = folder / log, .on_progress = nullptr};
  }

  // Answers pulls with these bytes of the stream, then ends it.
  void pulls_say(const std::string& text, int times = 0) {
    engine.on(
        kPull,
        [text](const FakeEngine::Request&, FakeEngine::Reply& reply) {
          reply.begin_stream();
          reply.send(text);
        },
        times);
  }
  void pulls_fail(int status, const std::string& message, int times = 0) {
    engine.on(
        kPull, [=](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.error(status, message); }, times);
  }
  // Says these bytes, and nothing more.
  void pulls_hang_after(const std::string& text, int times = 0) {
    engine.on(
        kPull,
        [text](const FakeEngine::Request&, FakeEngine::Reply& reply) {
          reply.begin_stream();
          reply.send(text);
          reply.hang();
        },
        times);
  }

  // ensure() on a thread of its own; turns the clock by as much as each pause between attempts.
  std::optional<Failure> failure(const PullRequest& wanted, const std::vector<std::chrono::milliseconds>& pauses = {}) {
    auto result = std::async(std::launch::async, [&] { return failure_of(wanted, stop.get_token()); });
    std::size_t attempts = 0;
    for (const auto pause : pauses) {
      engine.await(kPull, ++attempts);
      // Two wait by then: the pull for its pause, and ensure() for the stall.
      clock.await_pause_within(pause);
      clock.advance(pause);
    }
    return result.get();
  }

  std::optional<Failure> failure_of(const PullRequest& wanted, std::stop_token token) {
    try {
      puller.ensure(wanted, token);
      return std::nullopt;
    } catch (const Error& error) {
      return Failure{error.kind(), error.what()};
    }
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "an image that is there is not pulled") {
  engine.add_image("app:1");
  CHECK_FALSE(puller.ensure(request(), {}));
  CHECK(engine.count(kPull) == 0);
  CHECK_FALSE(std::filesystem::exists(folder / "pull.log"));
}

TEST_CASE_METHOD(Fixture, "latest is pulled even if it is there") {
  engine.add_image("app:latest");
  CHECK(puller.ensure(request("app"), {}));
  CHECK(engine.count(kPull) == 1);
}

TEST_CASE_METHOD(Fixture, "a pull that the stream calls complete is done, its log and numbers are kept") {
  pulls_say(kLayer + kDone);
  std::vector<PullProgress> seen;
  PullRequest wanted = request();
  wanted.on_progress = [&seen](const PullProgress& progress) { seen.push_back(progress); };
  CHECK(puller.ensure(wanted, {}));
  CHECK(seen == std::vector<PullProgress>{{10, 10, 10, true}});
  CHECK(os::read_file(folder / "pull.log") == kLayer + kDone);
  CHECK((std::filesystem::status(folder / "pull.log").permissions() & std::filesystem::perms::all) ==
        (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
}

TEST_CASE_METHOD(Fixture, "an error beside the word of completion does not count") {
  pulls_say(R"({"error":"a layer was slow"})"
            "\n" +
            kDone);
  CHECK_FALSE(failure(request()));
}

TEST_CASE_METHOD(Fixture, "what the registry refuses for good is not tried again") {
  using enum ErrorKind;
  using Class = PullFailure;
  const auto [status, message, kind, reported] = GENERATE(table<int, std::string, ErrorKind, PullFailure>({
      {404, "manifest for app:1 not found: manifest unknown", not_found, Class::not_found},
      {404, "pull access denied for app, repository does not exist", not_found, Class::not_found},
      {401, "unauthorized", invalid, Class::refused},
      {400, "invalid reference format", invalid, Class::other},
      {500, "Get \"https://r/v2/\": unauthorized: authentication required", invalid, Class::refused},
      {500, "Head \"http://r/v2/app/manifests/1\": no basic auth credentials", invalid, Class::refused},
      {500, "no matching manifest for linux/amd64 in the manifest list entries", invalid, Class::other},
      {500, "Get \"https://r/v2/\": x509: certificate signed by unknown authority", invalid, Class::other},
      {500, "write /var/lib/docker/tmp/x: no space left on device", invalid, Class::no_space},
      // Engines of 20.10 and their image store: a page in place of an answer.
      {500,
       "error parsing HTTP 403 response body: invalid character '<' looking for beginning of value: "
       "\"<html><h1>503 Service Unavailable</h1></html>\"",
       invalid, Class::refused},
      {500,
       "Get \"https://r/token\": error parsing HTTP 403 response body: invalid character 'F' looking for beginning "
       "of value: \"Forbidden\"",
       invalid, Class::refused},
      {500, "error unmarshalling content: invalid character '<' looking for beginning of value", invalid,
       Class::refused},
      {500, "unknown blob", not_found, Class::not_found},
      {500, "Unauthorized: Access Denied", invalid, Class::refused},
      // containerd's image store.
      {500,
       "unknown: failed to resolve reference \"r:5000/app:1\": unexpected status from HEAD request to "
       "http://r:5000/v2/app/manifests/1: 401 Unauthorized",
       invalid, Class::refused},
      {500,
       "unknown: failed to resolve reference \"r:5000/app:1\": unexpected status from HEAD request to "
       "http://r:5000/v2/app/manifests/1: 403 Forbidden",
       invalid, Class::refused},
      {500,
       "unknown: failed to resolve reference \"r:5000/app:1\": failed to authorize: failed to fetch anonymous "
       "token: unexpected status from GET request to http://r:5001/token?scope=x&service=y: 403 Forbidden",
       invalid, Class::refused},
      {500,
       "unknown: failed to resolve reference \"r:5000/app:1\": failed to authorize: failed to fetch oauth token: "
       "unexpected status from POST request to http://r:5001/token: 401 Unauthorized",
       invalid, Class::refused},
      {404, "failed to resolve reference \"r:5000/app:1\": r:5000/app:1: not found", not_found, Class::not_found},
      {500,
       "failed to copy: httpReadSeeker: failed open: unexpected status from GET request to "
       "http://r:5000/v2/app/blobs/sha256:5f: 403 Forbidden",
       invalid, Class::refused},
      {404, "no match for platform in manifest: not found", not_found, Class::not_found},
      // Podman.
      {500,
       "initializing source docker://r:5000/app:1: Requesting bearer token: invalid status code from registry 403 "
       "(Forbidden)",
       invalid, Class::refused},
      {500, "initializing source docker://r:5000/app:1: reading manifest 1 in r:5000/app: StatusCode: 404, \"<html>\"",
       not_found, Class::not_found},
      {500, "unable to retrieve auth token: invalid username/password: wrong", invalid, Class::refused},
  }));
  pulls_fail(status, message);
  const std::optional<Failure> error = failure(request());
  REQUIRE(error);
  CHECK(error->kind == kind);
  CHECK(error->message == "pull app:1: " + message + " (nothing downloaded)");
  CHECK(engine.count(kPull) == 1);
  REQUIRE(ends.size() == 1);
  CHECK(ends[0].failure == reported);
}

TEST_CASE_METHOD(Fixture, "a refusal in the stream is not tried again either, and says how far it got") {
  pulls_say(kLayer + R"({"errorDetail":{"message":"write /x: no space left on device"},"error":"e"})"
                     "\n");
  const std::optional<Failure> error = failure(request());
  REQUIRE(error);
  CHECK(error->message == "pull app:1: write /x: no space left on device (downloaded 5 of 10 bytes)");
  CHECK(engine.count(kPull) == 1);
}

TEST_CASE_METHOD(Fixture, "what may pass is tried three times more, after growing pauses") {
  const auto [status, message] = GENERATE(table<int, std::string>({
      {429, "toomanyrequests: You have reached your unauthenticated pull rate limit"},
      {500, "toomanyrequests: You have reached your unauthenticated pull rate limit"},
      {500, "Get \"https://r/v2/\": net/http: TLS handshake timeout"},
      {500, "received unexpected HTTP status: 503 Service Unavailable"},
      {503, "try later"},
      {500, "read tcp 10.0.0.1:1->10.0.0.2:2: read: connection reset by peer"},
      {500, "Get \"https://r/v2/\": dial tcp: lookup r: Temporary failure in name resolution"},
      {500,
       "failed to fetch anonymous token: unexpected status from GET request to http://r/token: 503 Service "
       "Unavailable"},
      {500,
       "failed to fetch oauth token: unexpected status from POST request to http://r/token: 429 Too Many Requests"},
      {500,
       "error parsing HTTP 502 response body: invalid character '<' looking for beginning of value: \"<html>403 "
       "Forbidden</html>\""},
      {500, "Get \"https://r/v2/\": unauthorized: unexpected status code 500"},
      // Something was removed from the engine's store meanwhile.
      {404, "lease does not exist: not found"},
      {404, "content digest sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef: not found"},
      {500,
       "failed to extract layer sha256:5f: failed to get reader from content store: content digest sha256:5f: not "
       "found"},
  }));
  pulls_fail(status, message);
  const std::optional<Failure> error = failure(request(), {1s, 5s, 25s});
  REQUIRE(error);
  CHECK_THAT(error->message, ContainsSubstring(message));
  CHECK(engine.count(kPull) == 4);
  REQUIRE(ends.size() == 1);
  CHECK(ends[0].failure == PullFailure::unavailable);
}

TEST_CASE("an image's own name does not decide why its pull failed") {
  const ImageReference image = parse_image_reference("r.example/team/denied-403:unsupported");
  CHECK(pull_failure(image, ErrorKind::internal,
                     "Get \"https://r.example/v2/team/denied-403/manifests/1\": read: connection reset by peer") ==
        PullFailure::unavailable);
  CHECK(pull_failure(parse_image_reference("r.example:443/team/app:500"), ErrorKind::internal,
                     "manifest for r.example:443/team/app:500 not found: manifest unknown") == PullFailure::not_found);
}

TEST_CASE_METHOD(Fixture, "a second attempt that works is a success") {
  pulls_say(kLayer + kDone);
  pulls_fail(503, "try later", 1);
  CHECK_FALSE(failure(request(), {1s}));
  CHECK(engine.count(kPull) == 2);
}

TEST_CASE_METHOD(Fixture, "a stream that breaks off is tried again") {
  pulls_say(kDone);
  engine.on(
      kPull,
      [](const FakeEngine::Request&, FakeEngine::Reply& reply) {
        reply.begin_stream();
        reply.send(kLayer);
        reply.break_connection();
      },
      1);
  CHECK_FALSE(failure(request(), {1s}));
}

TEST_CASE_METHOD(Fixture, "a stream that ends without the word of completion is a failure") {
  pulls_say(kLayer);
  const std::optional<Failure> error = failure(request(), {1s, 5s, 25s});
  REQUIRE(error);
  CHECK(error->kind == ErrorKind::unavailable);
  CHECK_THAT(error->message, ContainsSubstring("ended before") && ContainsSubstring("downloaded 5 of 10 bytes"));
}

TEST_CASE_METHOD(Fixture, "an engine that died in the middle of a pull and came back finishes it") {
  pulls_hang_after(kLayer, 1);
  auto result = std::async(std::launch::async, [&] { return failure_of(request(), {}); });
  engine.await(kPull);
  engine.die();
  clock.await_pause_within(1s);
  engine.revive();
  clock.advance(1s);
  CHECK_FALSE(result.get());
  CHECK(engine.count(kPull) == 2);
}

TEST_CASE_METHOD(Fixture, "an engine that stays away ends the pull, and says which engine and how far it got") {
  pulls_hang_after(kLayer, 1);
  std::latch moved(1);
  PullRequest wanted = request();
  wanted.on_progress = [&moved](const PullProgress&) { moved.count_down(); };
  auto result = std::async(std::launch::async, [&] { return failure_of(wanted, {}); });
  moved.wait();
  engine.die();
  while (result.wait_for(1ms) != std::future_status::ready) clock.end_next_wait(30s);
  const std::optional<Failure> error = result.get();
  REQUIRE(error);
  CHECK(error->kind == ErrorKind::unavailable);
  CHECK_THAT(error->message, ContainsSubstring("downloaded 5 of 10 bytes"));
  CHECK_THAT(error->message, ContainsSubstring(engine.socket_path()));
}

TEST_CASE_METHOD(Fixture, "an image that turned up between two attempts needs no second pull") {
  engine.on(kPull, [this](const FakeEngine::Request&, FakeEngine::Reply& reply) {
    engine.add_image("app:1");
    reply.break_connection();
  });
  CHECK_FALSE(failure(request(), {1s}));
  CHECK(engine.count(kPull) == 1);
}

TEST_CASE_METHOD(Fixture, "twenty minutes without progress end a pull") {
  pulls_hang_after(kLayer);
  std::latch moved(1);
  PullRequest wanted = request();
  wanted.on_progress = [&moved](const PullProgress&) { moved.count_down(); };
  auto result = std::async(std::launch::async, [&] { return failure_of(wanted, {}); });
  moved.wait();
  clock.advance(19min);
  clock.advance(1min);
  const std::optional<Failure> error = result.get();
  REQUIRE(error);
  CHECK(error->kind == ErrorKind::timed_out);
  CHECK(error->message == "pull app:1: no progress for 20 minutes (downloaded 5 of 10 bytes)");
  CHECK(engine.count(kPull) == 1);
  REQUIRE(ends.size() == 1);
  CHECK(ends[0].failure == PullFailure::stalled);
}

TEST_CASE_METHOD(Fixture, "progress, however slow, keeps a pull alive") {
  std::counting_semaphore<> next(0);
  engine.on(kPull, [&next](const FakeEngine::Request&, FakeEngine::Reply& reply) {
    reply.begin_stream();
    for (int i = 1; i <= 3; ++i) {
      next.acquire();
      reply.send(R"({"status":"Downloading","id":"a","progressDetail":{"current":)" + std::to_string(i) +
                 R"(,"total":9}})"
                 "\n");
    }
    next.acquire();
    reply.send(kDone);
  });
  std::counting_semaphore<> moved(0);
  PullRequest wanted = request();
  wanted.on_progress = [&moved](const PullProgress&) { moved.release(); };
  auto result = std::async(std::launch::async, [&] { return failure_of(wanted, {}); });
  engine.await(kPull);
  for (int i = 0; i < 3; ++i) {
    next.release();
    moved.acquire();
    clock.advance(19min);
  }
  next.release();
  CHECK_FALSE(result.get());
  REQUIRE(ends.size() == 1);
  CHECK_FALSE(ends[0].failure);
  CHECK(ends[0].took == 57min);
}

TEST_CASE_METHOD(Fixture, "a stop ends a pull at once and the engine sees the connection close") {
  std::latch closed(1);
  engine.on(kPull, [&closed](const FakeEngine::Request&, FakeEngine::Reply& reply) {
    reply.begin_stream();
    reply.hang();
    closed.count_down();
  });
  auto result = std::async(std::launch::async, [&] { return failure_of(request(), stop.get_token()); });
  engine.await(kPull);
  stop.request_stop();
  const std::optional<Failure> error = result.get();
  REQUIRE(error);
  CHECK(error->kind == ErrorKind::cancelled);
  closed.wait();
  CHECK(ends.empty());
}

TEST_CASE_METHOD(Fixture, "a stop ends the pause between two attempts") {
  pulls_fail(503, "try later");
  auto result = std::async(std::launch::async, [&] { return failure_of(request(), stop.get_token()); });
  engine.await(kPull);
  clock.await_pause_within(1s);
  stop.request_stop();
  CHECK(result.get()->kind == ErrorKind::cancelled);
  CHECK(engine.count(kPull) == 1);
}

TEST_CASE_METHOD(Fixture, "a stop may be requested under the lock that on_progress takes") {
  pulls_hang_after(kLayer);
  std::mutex task;
  std::latch called(1);
  PullRequest wanted = request();
  wanted.on_progress = [&](const PullProgress&) {
    called.count_down();
    const std::scoped_lock lock(task);
  };
  std::future<std::optional<Failure>> result;
  {
    const std::scoped_lock lock(task);
    result = std::async(std::launch::async, [&] { return failure_of(wanted, stop.get_token()); });
    called.wait();
    stop.request_stop();
  }
  CHECK(result.get()->kind == ErrorKind::cancelled);
}

TEST_CASE_METHOD(Fixture, "tasks that wait for the same image share one pull") {
  std::latch release(1);
  std::counting_semaphore<> begun(0);
  engine.on(kPull, [&](const FakeEngine::Request&, FakeEngine::Reply& reply) {
    reply.begin_stream();
    reply.send(kLayer);
    release.wait();
    reply.send(kDone);
  });
  PullRequest first = request("app:1", "first.log");
  first.on_progress = [&begun](const PullProgress&) { begun.release(); };
  auto one = std::async(std::launch::async, [&] { return failure_of(first, {}); });
  begun.acquire();
  std::counting_semaphore<> joined(0);
  std::vector<PullProgress> seen;
  PullRequest second = request("app:1", "second.log");
  second.on_progress = [&](const PullProgress& progress) {
    seen.push_back(progress);
    joined.release();
  };
  auto two = std::async(std::launch::async, [&] { return failure_of(second, {}); });
  joined.acquire();  // it hears at once how far the pull is
  release.count_down();
  CHECK_FALSE(one.get());
  CHECK_FALSE(two.get());
  CHECK(seen.front() == PullProgress{5, 0, 10, true});
  CHECK(engine.count(kPull) == 1);
  CHECK(ends.size() == 1);
  CHECK(os::read_file(folder / "first.log") == kLayer + kDone);
  CHECK(os::read_file(folder / "second.log") == kLayer + kDone);
}

TEST_CASE_METHOD(Fixture, "one waiter's stop leaves the pull to the others, the last one's ends it") {
  std::latch closed(1);
  engine.on(kPull, [&closed](const FakeEngine::Request&, FakeEngine::Reply& reply) {
    reply.begin_stream();
    reply.send(kLayer);
    reply.hang();
    closed.count_down();
  });
  std::latch both(2);
  PullRequest wanted = request();
  wanted.log_file.clear();
  wanted.on_progress = [&both](const PullProgress&) { both.count_down(); };
  std::stop_source stop_one;
  std::stop_source stop_two;
  auto one = std::async(std::launch::async, [&] { return failure_of(wanted, stop_one.get_token()); });
  auto two = std::async(std::launch::async, [&] { return failure_of(wanted, stop_two.get_token()); });
  both.wait();
  stop_one.request_stop();
  CHECK(one.get()->kind == ErrorKind::cancelled);
  CHECK(two.wait_for(0s) == std::future_status::timeout);
  CHECK_FALSE(closed.try_wait());
  stop_two.request_stop();
  CHECK(two.get()->kind == ErrorKind::cancelled);
  closed.wait();
  CHECK(engine.count(kPull) == 1);
}

TEST_CASE_METHOD(Fixture, "other credentials are another pull") {
  pulls_hang_after(kLayer);
  std::latch both(2);
  PullRequest anonymous = request("app:1", "a.log");
  anonymous.on_progress = [&both](const PullProgress&) { both.count_down(); };
  PullRequest named = request("app:1", "b.log");
  named.credentials = {.username = "u", .password = Secret("p")};
  named.on_progress = anonymous.on_progress;
  auto one = std::async(std::launch::async, [&] { return failure_of(anonymous, stop.get_token()); });
  auto two = std::async(std::launch::async, [&] { return failure_of(named, stop.get_token()); });
  both.wait();
  CHECK(engine.count(kPull) == 2);
  stop.request_stop();
  one.get();
  two.get();
}

TEST_CASE_METHOD(Fixture, "a pull after one that failed begins anew") {
  pulls_fail(404, "manifest unknown", 1);
  CHECK(failure(request()));
  CHECK_FALSE(failure(request()));
  CHECK(engine.count(kPull) == 2);
}

TEST_CASE_METHOD(Fixture, "a pull.log that cannot be written does not stop the pull, and no link is followed") {
  std::filesystem::create_symlink(folder / "elsewhere", folder / "pull.log");
  CHECK(puller.ensure(request(), {}));
  CHECK_FALSE(std::filesystem::exists(folder / "elsewhere"));
}

TEST_CASE("Podman's stream ends without a word of completion, so the image is looked for") {
  FakeEngine engine;
  engine.on("GET /_ping", [](const FakeEngine::Request&, FakeEngine::Reply& reply) {
    reply.answer(200, "OK", "Api-Version: 1.41\r\nLibpod-API-Version: 4.3.1\r\n");
  });
  engine.on(kPull, [&engine](const FakeEngine::Request&, FakeEngine::Reply& reply) {
    engine.add_image("app:1");
    reply.begin_stream();
    reply.send(R"({"status":"Download complete","progressDetail":{},"id":"0123456789ab"})"
               "\n");
  });
  EngineClient client(engine_at_socket(engine.socket_path()));
  ImagePuller puller(client);
  CHECK(puller.ensure(
      {.image = parse_image_reference("app:1"), .credentials = {}, .log_file = {}, .on_progress = nullptr}, {}));
}

TEST_CASE_METHOD(Fixture, "a pull that no thread can be made for is tried again every second, and can be cancelled") {
  if (!test::NoMoreThreads::possible()) return;
  std::latch begin(1);
  std::optional<Failure> pulled;
  std::optional<Failure> cancelled;
  std::jthread one([&] {
    begin.wait();
    pulled = failure_of(request("app:latest"), {});
  });
  std::jthread two([&] {
    begin.wait();
    cancelled = failure_of(request("other:latest", "other.log"), stop.get_token());
  });
  {
    const test::NoMoreThreads limit;
    begin.count_down();
    clock.await_waiters(2);
    stop.request_stop();
    two.join();
  }
  CHECK(engine.count(kPull) == 0);
  clock.advance(1s);
  one.join();
  CHECK_FALSE(pulled);
  REQUIRE(cancelled);
  CHECK(cancelled->kind == ErrorKind::cancelled);
}

TEST_CASE_METHOD(Fixture, "a policy says when an image that is there is pulled") {
  engine.add_image("app:1");
  const auto pulled = [this](PullPolicy policy, const std::string& image = "app:1") {
    PullRequest wanted = request(image);
    wanted.policy = policy;
    return puller.ensure(wanted, {});
  };
  CHECK_FALSE(pulled(PullPolicy::missing));
  CHECK(pulled(PullPolicy::always));
  CHECK(pulled(PullPolicy::newer));
  CHECK_FALSE(pulled(PullPolicy::never));
  engine.add_image("app:latest");
  CHECK_FALSE(pulled(PullPolicy::never, "app:latest"));
  CHECK(engine.count(kPull) == 2);
}

TEST_CASE_METHOD(Fixture, "who listens to pulls hears whether the image was absent, and whether layers were named") {
  test::PullListener listener;
  ImagePuller heard({.engine = client, .clock = clock, .observer = &listener});
  pulls_say(kDone, 1);
  heard.ensure(request(), {});
  CHECK(listener.is_absent);
  CHECK_FALSE(listener.had_layers);
  pulls_say(kLayer + kDone);
  PullRequest wanted = request();
  wanted.policy = PullPolicy::always;  // without a look first
  heard.ensure(wanted, {});
  CHECK_FALSE(listener.is_absent);
  CHECK(listener.had_layers);
}

TEST_CASE_METHOD(Fixture, "an image that is never pulled and not there is not found") {
  PullRequest wanted = request("absent:1");
  wanted.policy = PullPolicy::never;
  const auto why = failure(wanted);
  REQUIRE(why);
  CHECK(why->kind == ErrorKind::not_found);
  CHECK_THAT(why->message, ContainsSubstring("absent:1"));
  CHECK(engine.count(kPull) == 0);
}

TEST_CASE_METHOD(Fixture, "where a newer image cannot be had, the one that is there will do") {
  pulls_fail(404, "manifest unknown");
  PullRequest wanted = request();
  wanted.policy = PullPolicy::newer;
  CHECK(failure(wanted));
  engine.add_image("app:1");
  CHECK_FALSE(puller.ensure(wanted, {}));
  wanted.policy = PullPolicy::always;
  CHECK(failure(wanted));
}

TEST_CASE_METHOD(Fixture, "the host's login is used where a task has none of its own") {
  os::replace_file(folder / "config.json", R"({"auths": {"r.example": {"username": "host", "password": "p"}}})", 0600);
  const HostCredentials host(folder / "config.json");
  ImagePuller with_logins({.engine = client, .clock = clock, .host_credentials = &host});
  const auto login_of = [&](const PullRequest& wanted) -> nlohmann::json {
    with_logins.ensure(wanted, {});
    const auto all = engine.requests();
    const auto last = std::ranges::find(all.rbegin(), all.rend(), kPull, &FakeEngine::Request::line);
    const auto header = last->headers.find("x-registry-auth");
    if (header == last->headers.end()) return nullptr;
    return nlohmann::json::parse(text::decode_base64(header->second).value());
  };
  CHECK(login_of(request("r.example/a:1")) ==
        nlohmann::json{{"username", "host"}, {"password", "p"}, {"serveraddress", "r.example"}});
  CHECK(login_of(request("other.example/a:1")) == nullptr);
  PullRequest own = request("r.example/b:1");
  own.credentials = {.username = "task", .password = Secret("q")};
  CHECK(login_of(own)["username"] == "task");
  os::replace_file(folder / "config.json", R"({"auths": {"r.example": {"identitytoken": "t"}}})", 0600);
  CHECK(login_of(request("r.example/c:1"))["identitytoken"] == "t");
}

TEST_CASE_METHOD(Fixture, "a refusal says why the host's login could not be used") {
  os::replace_file(folder / "config.json", "no JSON", 0600);
  const HostCredentials host(folder / "config.json");
  ImagePuller with_logins({.engine = client, .clock = clock, .host_credentials = &host});
  CHECK(with_logins.ensure(request("public.example/app:1"), {}));
  pulls_fail(500, "unauthorized: authentication required");
  try {
    with_logins.ensure(request("r.example/app:1"), {});
    FAIL("it was pulled");
  } catch (const Error& error) {
    CHECK_THAT(error.what(), ContainsSubstring("unauthorized") && ContainsSubstring("host's login could not be used") &&
                                 ContainsSubstring("config.json"));
  }
}
