#include "shim/component/components.h"

#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>
#include <format>
#include <fstream>
#include <future>
#include <thread>

#include "common/error.h"
#include "common/http/server.h"
#include "common/os/file.h"
#include "shim/component/download.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::shim::component;
namespace fs = std::filesystem;

namespace {

std::string program(const std::string& answer) { return std::format("#!/bin/sh\necho '{}'\n", answer); }

struct Fixture {
  test::TemporaryDirectory folder;
  const fs::path target = folder / "dstack-runner";
  http::Server server;
  std::string offered = program("dstack-runner version 1.2.3");
  std::promise<void> requested;
  std::promise<void> go_on;
  int port;
  std::thread thread;

  Fixture() {
    server.get("/runner", [this](const http::Request&) { return http::Response::text(200, offered); });
    server.get("/missing", [](const http::Request&) { return http::Response::text(404, "no\n"); });
    server.get("/slow", [this](const http::Request&) {
      requested.set_value();
      go_on.get_future().wait();
      return http::Response::text(200, offered);
    });
    port = server.bind("127.0.0.1", 0);
    thread = std::thread([this] { server.run(); });
  }
  ~Fixture() {
    server.stop();
    thread.join();
  }

  std::string url(const std::string& path) const { return std::format("http://127.0.0.1:{}{}", port, path); }
  void write_target(const std::string& text) const {
    std::ofstream(target) << text;
    REQUIRE(::chmod(target.c_str(), 0755) == 0);
  }
  static ComponentInfo runner(const Components& components) { return components.list().at(0); }
  static void await_end(const Components& components) {
    while (runner(components).status == ComponentStatus::installing) std::this_thread::yield();
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a runner that is absent is downloaded at start") {
  Components components(target, "/shim");
  components.ensure_runner(url("/runner"));
  CHECK(runner(components).version == "1.2.3");
  CHECK(runner(components).status == ComponentStatus::installed);
  CHECK((fs::status(target).permissions() & fs::perms::mask) == fs::perms{0755});
  CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE_METHOD(Fixture, "a runner that is there is not downloaded") {
  write_target(program("dstack-runner version 0.1"));
  Components components(target, "/shim");
  components.ensure_runner(url("/runner"));
  CHECK(runner(components).version == "0.1");
}

TEST_CASE_METHOD(Fixture, "no runner and no URL is no failure") {
  Components components(target, "/shim");
  components.ensure_runner("");
  CHECK(runner(components).status == ComponentStatus::not_installed);
  CHECK(components.list().at(1).name == "dstack-shim");
  CHECK(components.list().at(1).status == ComponentStatus::installed);
}

TEST_CASE_METHOD(Fixture, "something else than a runner has the status error") {
  for (const char* answer : {"dstack-shim version 1", "dstack-runner 1", "dstack-runner version 1 beta", ""}) {
    write_target(program(answer));
    Components components(target, "/shim");
    components.ensure_runner("");
    CHECK(runner(components).status == ComponentStatus::error);
    CHECK(runner(components).version.empty());
  }
}

TEST_CASE_METHOD(Fixture, "a download that fails leaves the old file and its status") {
  write_target(program("dstack-runner version 0.1"));
  Components components(target, "/shim");
  components.ensure_runner("");
  for (const std::string& from :
       {url("/missing"), std::string("http://127.0.0.1:1/x"), std::string("file:///etc/passwd")}) {
    components.install("dstack-runner", from);
    await_end(components);
    CHECK(runner(components).version == "0.1");
    CHECK(runner(components).status == ComponentStatus::installed);
  }
  CHECK(os::read_file(target) == program("dstack-runner version 0.1"));
  CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE_METHOD(Fixture, "a download that is something else leaves the old file, with the status error") {
  write_target(program("dstack-runner version 0.1"));
  Components components(target, "/shim");
  components.ensure_runner("");
  offered = program("something version 2");
  components.install("dstack-runner", url("/runner"));
  await_end(components);
  CHECK(runner(components).version == "0.1");
  CHECK(runner(components).status == ComponentStatus::error);
  CHECK(os::read_file(target) == program("dstack-runner version 0.1"));
}

TEST_CASE_METHOD(Fixture, "one installation at a time") {
  Components components(target, "/shim");
  components.install("dstack-runner", url("/slow"));
  requested.get_future().wait();
  CHECK(runner(components).status == ComponentStatus::installing);
  try {
    components.install("dstack-runner", url("/runner"));
    FAIL("it should not have worked");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::conflict);
  }
  go_on.set_value();
  await_end(components);
  CHECK(runner(components).version == "1.2.3");
}

TEST_CASE_METHOD(Fixture, "an installation needs a name that is known and a URL") {
  Components components(target, "/shim");
  const auto message = [&](const std::string& name, const std::string& from) {
    try {
      components.install(name, from);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(message("", "u") == "empty name");
  CHECK(message("dstack-server", "u") == "unknown component");
  CHECK(message("dstack-shim", "") == "empty url");
}
