#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <filesystem>
#include <future>

#include "common/error.h"
#include "common/os/file.h"
#include "shim/docker/image_pull.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_engine.h"
#include "tests/support/pull_listener.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::shim::docker;
using namespace std::chrono_literals;
using test::FakeEngine;

namespace {

const std::string kDigest = "sha256:" + std::string(64, 'a');
const std::string kPull = "POST /images/create";
const std::string kDistribution = "GET /distribution/r.example/team/app:1/json";
const std::string kAtMirror = "m.example:5000/team/app@" + kDigest;

struct Fixture {
  FakeEngine engine;
  test::FakeClock clock;
  EngineClient client{engine_at_socket(engine.socket_path()), clock};
  test::TemporaryDirectory folder;
  test::PullListener observer;
  MirrorNames mirror_names{folder / "mirror-names.json", client};
  ImagePuller puller{{.engine = client,
                      .clock = clock,
                      .limits = {.attempts = 1},
                      .observer = &observer,
                      .mirror = parse_registry_mirror("m.example:5000"),
                      .mirror_names = &mirror_names}};

  Fixture() {
    engine.on(kDistribution, [](const FakeEngine::Request&, FakeEngine::Reply& reply) {
      reply.answer(200, R"({"Descriptor":{"digest":")" + kDigest + "\"}}");
    });
    engine.on("POST /images/*", [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.answer(201); });
    engine.on("DELETE /images/*",
              [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.answer(200, "[]"); });
    pulls_work();
  }

  void pulls_work() {
    engine.on(kPull, [](const FakeEngine::Request&, FakeEngine::Reply& reply) {
      reply.answer(200, "{\"status\":\"Status: Downloaded newer image\"}\n");
    });
  }
  // Those from the mirror only.
  void mirror_does(FakeEngine::Handler handler) {
    engine.on(kPull, [handler = std::move(handler)](const FakeEngine::Request& request, FakeEngine::Reply& reply) {
      if (request.query.at("fromImage") == "m.example:5000/team/app") return handler(request, reply);
      reply.answer(200, "{\"status\":\"Status: Downloaded newer image\"}\n");
    });
  }

  PullRequest request(const std::string& image = "r.example/team/app:1") {
    return {.image = parse_image_reference(image), .log_file = folder / "pull.log"};
  }

  // "image tag" of each.
  std::vector<std::string> pulls() const {
    std::vector<std::string> names;
    for (const auto& one : engine.requests()) {
      if (one.line() == kPull) names.push_back(one.query.at("fromImage") + " " + one.query.at("tag"));
    }
    return names;
  }
  bool was_asked(const std::string& line) const {
    return std::ranges::any_of(engine.requests(), [&](const auto& one) { return one.line() == line; });
  }
};

using Names = std::vector<std::string>;
const Names kFromMirror{"m.example:5000/team/app " + kDigest};
const Names kFromRegistry{"r.example/team/app 1"};
const Names kFromBoth{kFromMirror.front(), kFromRegistry.front()};

}  // namespace

TEST_CASE("a mirror is a registry, maybe with a path in it") {
  CHECK(parse_registry_mirror("m.example:5000").name == "m.example:5000");
  CHECK(parse_registry_mirror("localhost/hub").name == "localhost/hub");
  const std::string bad = GENERATE("", "hub", "docker.io", "https://m.example", "m.example/", "m example", "M/UP");
  CHECK_THROWS_AS(parse_registry_mirror(bad), Error);
}

TEST_CASE("a mirror has an image under the path that the image's own registry has it") {
  const auto name = [](const std::string& image) {
    return mirrored({.name = "m.example/p"}, parse_image_reference(image), kDigest).name();
  };
  CHECK(name("python:3") == "m.example/p/library/python@" + kDigest);
  CHECK(name("docker.io/python") == "m.example/p/library/python@" + kDigest);
  CHECK(name("team/app:1") == "m.example/p/team/app@" + kDigest);
  CHECK(name("r.example:5000/app:1") == "m.example/p/app@" + kDigest);
}

TEST_CASE_METHOD(Fixture, "an image comes from the mirror by its registry's digest, and has its own name only") {
  CHECK(puller.ensure(request(), {}));
  CHECK(pulls() == kFromMirror);
  CHECK(was_asked("POST /images/" + kAtMirror + "/tag"));
  CHECK(was_asked("DELETE /images/" + kAtMirror));
  CHECK(observer.began == "r.example/team/app:1");
  CHECK(observer.there == "r.example/team/app:1");
  CHECK(observer.digest == kDigest);
}

TEST_CASE_METHOD(Fixture, "the mirror's name is written down before the pull, and until it is removed") {
  std::string during;
  mirror_does([&](const FakeEngine::Request&, FakeEngine::Reply& reply) {
    during = os::read_file(folder / "mirror-names.json");
    reply.answer(200, "{\"status\":\"Status: Downloaded newer image\"}\n");
  });
  CHECK(puller.ensure(request(), {}));
  CHECK(during.contains(kAtMirror));
  CHECK_FALSE(os::read_file(folder / "mirror-names.json").contains(kAtMirror));
}

TEST_CASE_METHOD(Fixture, "a name that a shim has left is removed by the next one, and no other name") {
  os::replace_file(folder / "mirror-names.json",
                   R"({"names": ["python", "python:3", "", "../x", 5, ")" + kAtMirror + "\"]}", 0600);
  MirrorNames left(folder / "mirror-names.json", client);
  ImagePuller next({.engine = client, .clock = clock, .mirror_names = &left});
  next.sweep({});
  CHECK(was_asked("DELETE /images/" + kAtMirror));
  CHECK(std::ranges::count_if(engine.requests(), [](const auto& one) { return one.line().starts_with("DELETE"); }) ==
        1);
  CHECK_FALSE(os::read_file(folder / "mirror-names.json").contains(kAtMirror));
}

TEST_CASE_METHOD(Fixture, "a name that cannot be removed is left to the next sweep") {
  bool fails = true;
  engine.on("DELETE /images/*", [&fails](const FakeEngine::Request&, FakeEngine::Reply& reply) {
    if (fails) return reply.error(409, "a container has it");
    reply.answer(200, "[]");
  });
  CHECK(puller.ensure(request(), {}));
  CHECK(os::read_file(folder / "mirror-names.json").contains(kAtMirror));
  puller.sweep({});
  CHECK(os::read_file(folder / "mirror-names.json").contains(kAtMirror));
  fails = false;
  puller.sweep({});
  CHECK_FALSE(os::read_file(folder / "mirror-names.json").contains(kAtMirror));
}

TEST_CASE_METHOD(Fixture, "a sweep lets the names of pulls that go on be") {
  mirror_does([&](const FakeEngine::Request&, FakeEngine::Reply& reply) {
    puller.sweep({});
    reply.answer(200, "{\"status\":\"Status: Downloaded newer image\"}\n");
  });
  CHECK(puller.ensure(request(), {}));
  CHECK(std::ranges::count_if(engine.requests(), [](const auto& one) { return one.line().starts_with("DELETE"); }) ==
        1);
}

TEST_CASE_METHOD(Fixture, "a name that cannot be written down is not pulled: the image comes from its own registry") {
  std::filesystem::create_directories(folder / "mirror-names.json/x");
  CHECK(puller.ensure(request(), {}));
  CHECK(pulls() == kFromRegistry);
}

TEST_CASE_METHOD(Fixture, "the mirror's name of an image that was there before stays") {
  engine.on("GET /images/" + kAtMirror + "/json",
            [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.answer(200, "{}"); });
  CHECK(puller.ensure(request(), {}));
  CHECK(pulls() == kFromMirror);
  CHECK_FALSE(was_asked("DELETE /images/" + kAtMirror));
}

TEST_CASE_METHOD(Fixture, "an image by digest or with a login comes from its own registry at once") {
  PullRequest wanted = request();
  SECTION("by digest") { wanted = request("r.example/team/app@" + kDigest); }
  SECTION("with a login") { wanted.credentials = {.username = "u", .password = Secret("p")}; }
  CHECK(puller.ensure(wanted, {}));
  CHECK(pulls().size() == 1);
  CHECK(pulls().front().starts_with("r.example/team/app "));
  CHECK_FALSE(was_asked(kDistribution));
}

TEST_CASE_METHOD(Fixture, "an image that the host has a login for comes from its own registry") {
  os::replace_file(folder / "config.json", R"({"auths": {"r.example": {"username": "host", "password": "p"}}})", 0600);
  const HostCredentials host(folder / "config.json");
  ImagePuller with_logins({.engine = client,
                           .clock = clock,
                           .host_credentials = &host,
                           .mirror = parse_registry_mirror("m.example:5000"),
                           .mirror_names = &mirror_names});
  CHECK(with_logins.ensure(request(), {}));
  CHECK(pulls() == kFromRegistry);
}

TEST_CASE_METHOD(Fixture, "whatever fails at the mirror, the image comes from its own registry") {
  Names expected = kFromBoth;
  SECTION("the digest cannot be asked for") {
    engine.on(kDistribution,
              [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.error(404, "page not found"); });
    expected = kFromRegistry;
  }
  SECTION("the digest is not one") {
    engine.on(kDistribution, [](const FakeEngine::Request&, FakeEngine::Reply& reply) {
      reply.answer(200, R"({"Descriptor":{"digest":"x/../y"}})");
    });
    expected = kFromRegistry;
  }
  SECTION("it has another image under the tag") {
    mirror_does([](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.error(404, "manifest unknown"); });
  }
  SECTION("the stream has an error") {
    mirror_does([](const FakeEngine::Request&, FakeEngine::Reply& reply) {
      reply.answer(200, "{\"error\":\"connection reset\"}\n");
    });
  }
  SECTION("the stream breaks off") {
    mirror_does([](const FakeEngine::Request&, FakeEngine::Reply& reply) {
      reply.begin_stream();
      reply.send("{\"status\":\"Pulling fs layer\",\"id\":\"a\"}\n");
      reply.break_connection();
    });
  }
  SECTION("the name cannot be given") {
    engine.on("POST /images/" + kAtMirror + "/tag",
              [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.error(500, "no"); });
  }
  CHECK(puller.ensure(request(), {}));
  CHECK(pulls() == expected);
  CHECK(observer.there == "r.example/team/app:1");
  CHECK(observer.digest.empty());
  CHECK_FALSE(observer.had_layers);  // those were the mirror's
}

TEST_CASE_METHOD(Fixture, "a mirror that hangs is given up after half a minute") {
  mirror_does([](const FakeEngine::Request&, FakeEngine::Reply& reply) {
    reply.begin_stream();
    reply.send("{\"status\":\"Pulling fs layer\",\"id\":\"a\"}\n");
    reply.hang();
  });
  std::atomic<bool> moved = false;
  PullRequest wanted = request();
  wanted.on_progress = [&moved](const PullProgress&) { moved = true; };
  auto result = std::async(std::launch::async, [&] { return puller.ensure(wanted, {}); });
  while (!moved) std::this_thread::yield();
  clock.await_deadline_within(30s);
  clock.advance(30s);
  CHECK(result.get());
  CHECK(pulls() == kFromBoth);
}

TEST_CASE_METHOD(Fixture, "a stop ends the pull from a mirror that hangs") {
  mirror_does([](const FakeEngine::Request&, FakeEngine::Reply& reply) {
    reply.begin_stream();
    reply.hang();
  });
  std::stop_source stop;
  auto result = std::async(std::launch::async, [&]() -> std::optional<ErrorKind> {
    try {
      puller.ensure(request(), stop.get_token());
      return std::nullopt;
    } catch (const Error& error) {
      return error.kind();
    }
  });
  engine.await(kPull);
  stop.request_stop();
  CHECK(result.get() == ErrorKind::cancelled);
  CHECK(pulls() == kFromMirror);
}
