#include "shim/component/components.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <format>
#include <fstream>
#include <future>
#include <map>
#include <sstream>
#include <thread>

#include "common/error.h"
#include "common/http/server.h"
#include "common/os/command.h"
#include "common/os/file.h"
#include "shim/component/download.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::shim::component;
namespace fs = std::filesystem;

namespace {

std::string program(const std::string& answer) { return std::format("#!/bin/sh\necho '{}'\n", answer); }

// Answers each request with the bytes that stand for its path, and closes.
class RawServer {
 public:
  RawServer() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(listener_.get(), generic, size) == 0);
    REQUIRE(::listen(listener_.get(), 8) == 0);
    REQUIRE(::getsockname(listener_.get(), generic, &size) == 0);
    base_ = std::format("http://127.0.0.1:{}", ntohs(address.sin_port));
    thread_ = std::jthread([this] { serve(); });
  }
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;
  ~RawServer() { ::shutdown(listener_.get(), SHUT_RDWR); }

  // Before anybody asks.
  void answer(const std::string& path, std::string bytes) { answers_[path] = std::move(bytes); }
  void redirect(const std::string& path, const std::string& location) {
    answer(path, std::format("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", location));
  }
  std::string url(const std::string& path) const { return base_ + path; }

 private:
  void serve() const {
    while (true) {
      const os::UniqueFd connection(::accept(listener_.get(), nullptr, nullptr));
      if (!connection) return;
      char request[4096];
      const ssize_t size = ::read(connection.get(), request, sizeof request);
      std::istringstream words(std::string(request, static_cast<std::size_t>(std::max<ssize_t>(size, 0))));
      std::string method;
      std::string path;
      words >> method >> path;
      os::write_all(connection.get(), answers_.at(path), "the connection");
    }
  }

  os::UniqueFd listener_;
  std::string base_;
  std::map<std::string, std::string> answers_;
  std::jthread thread_;
};

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
    server.get("/page",
               [](const http::Request&) { return http::Response::text(200, "<html>Sorry, not here</html>\n"); });
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
  void install(Components& components, const std::string& from) const {
    components.install("dstack-runner", from);
    await_end(components);
  }
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
  CHECK(components.list().at(1).status == ComponentStatus::not_installed);
}

TEST_CASE_METHOD(Fixture, "the version of both components is what their files say, asked again when they change") {
  write_target(program("dstack-runner version 0.1"));
  const fs::path shim = folder / "dstack-shim";
  os::write_file_atomic(shim, program("dstack-shim version 0.20.1"), 0755);
  Components components(target, shim);
  components.ensure_runner("");
  const auto shim_info = [&components] { return components.list().at(1); };
  CHECK(shim_info().version == "0.20.1");
  CHECK(shim_info().status == ComponentStatus::installed);
  // Replaced as a package manager does it, then written over in place.
  os::write_file_atomic(shim, program("dstack-shim version 0.22.5"), 0755);
  CHECK(shim_info().version == "0.22.5");
  std::ofstream(shim) << program("dstack-shim version 0.22.12");
  CHECK(shim_info().version == "0.22.12");
  write_target(program("dstack-runner version 0.2"));
  CHECK(runner(components).version == "0.2");
  os::write_file_atomic(shim, program("something else"), 0755);
  CHECK(shim_info().status == ComponentStatus::error);
  CHECK(shim_info().version.empty());
  fs::remove(shim);
  CHECK(shim_info().status == ComponentStatus::not_installed);
}

TEST_CASE_METHOD(Fixture, "a file that has not changed is asked once") {
  const fs::path calls = folder / "calls";
  write_target(std::format("#!/bin/sh\necho x >> {}\necho dstack-runner version 0.1\n", calls.string()));
  const Components components(target, "/shim");
  for (int i = 0; i < 3; ++i) CHECK(runner(components).version == "0.1");
  CHECK(os::read_file(calls) == "x\n");
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

TEST_CASE_METHOD(Fixture, "a page with status 200 in place of the program leaves the old file, with the status error") {
  write_target(program("dstack-runner version 0.1"));
  Components components(target, "/shim");
  components.ensure_runner("");
  install(components, url("/page"));
  CHECK(runner(components).version == "0.1");
  CHECK(runner(components).status == ComponentStatus::error);
  // What does not come at all changes nothing of that, what is right does.
  install(components, url("/missing"));
  CHECK(runner(components).status == ComponentStatus::error);
  install(components, url("/runner"));
  CHECK(runner(components).version == "1.2.3");
  CHECK(runner(components).status == ComponentStatus::installed);
}

TEST_CASE_METHOD(Fixture, "a download that breaks off is no download") {
  write_target(program("dstack-runner version 0.1"));
  Components components(target, "/shim");
  components.ensure_runner("");
  // Complete as far as a shell can tell.
  RawServer raw;
  raw.answer("/runner", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + offered);
  install(components, raw.url("/runner"));
  CHECK(runner(components).version == "0.1");
  CHECK(runner(components).status == ComponentStatus::installed);
  CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE_METHOD(Fixture, "a redirect is followed, but not to another scheme and not for ever") {
  write_target(program("dstack-runner version 0.1"));
  os::write_file_atomic(folder / "local", program("dstack-runner version 6.6.6"), 0755);
  Components components(target, "/shim");
  components.ensure_runner("");
  RawServer raw;
  raw.redirect("/file", "file://" + (folder / "local").string());
  raw.redirect("/ftp", "ftp://127.0.0.1/runner");
  raw.redirect("/round", "/round");
  raw.redirect("/first", "/second");
  raw.redirect("/second", url("/runner"));
  for (const char* path : {"/file", "/ftp", "/round"}) {
    install(components, raw.url(path));
    CHECK(runner(components).version == "0.1");
    CHECK(runner(components).status == ComponentStatus::installed);
  }
  install(components, raw.url("/first"));
  CHECK(runner(components).version == "1.2.3");
}

TEST_CASE_METHOD(Fixture, "a component whose folder is missing gets one") {
  Components components(folder / "a/b/dstack-runner", "/shim");
  components.ensure_runner(url("/runner"));
  CHECK(runner(components).status == ComponentStatus::installed);
}

TEST_CASE_METHOD(Fixture, "what a killed process left of its downloads goes at the start, what is under way stays") {
  write_target(program("dstack-runner version 0.1"));
  os::write_file_atomic(folder / ".dstack-runner.download-abcdef", "half", 0600);
  os::write_file_atomic(folder / ".dstack-runner.mine", "", 0600);
  Components first(target, "/shim");
  first.install("dstack-runner", url("/slow"));
  requested.get_future().wait();
  Components second(target, "/shim");
  second.ensure_runner("");
  CHECK_FALSE(fs::exists(folder / ".dstack-runner.download-abcdef"));
  go_on.set_value();
  await_end(first);
  CHECK(runner(first).version == "1.2.3");
  CHECK(fs::exists(folder / ".dstack-runner.mine"));
  CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 2);
}

TEST_CASE_METHOD(Fixture, "a program that runs is replaced, and runs on") {
  fs::copy_file("/bin/sleep", target);
  Components components(target, "/shim");
  const std::jthread running([this](const std::stop_token& stop) {
    os::run_command({.arguments = {target.string(), "1000"}, .limit = std::chrono::hours(1)}, stop);
  });
  // Nobody may write to it from the moment it runs.
  while (std::ofstream(target, std::ios::app)) std::this_thread::yield();
  install(components, url("/runner"));
  CHECK(runner(components).version == "1.2.3");
  CHECK(os::read_file(target) == offered);
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
