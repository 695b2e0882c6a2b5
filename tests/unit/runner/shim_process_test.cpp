#include "runner/join/shim_process.h"

#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/http/server.h"
#include "tests/support/running_server.h"
#include "tests/support/temporary_directory.h"

namespace dstack::runner::join {

using nlohmann::json;

TEST_CASE("a task is starting until it runs, whoever it is for") {
  json tasks = json::array();
  http::Server server;
  server.get("/api/tasks", [&tasks](const http::Request& request) {
    // As the shim's: a person's tasks are shown only to who asks for them.
    const bool all = request.query.contains("local");
    return http::Response::json({{"tasks", all ? tasks : json::array()}});
  });
  const test::RunningServer running(server);
  const std::string url = std::format("http://127.0.0.1:{}", running.port());
  CHECK_FALSE(is_task_starting(url));
  for (const auto& [status, starting] : {std::pair("preparing", true),
                                         {"pulling", true},
                                         {"creating", true},
                                         {"running", false},
                                         {"terminated", false}}) {
    CAPTURE(status);
    tasks = {{{"id", "one"}, {"status", "terminated"}}, {{"id", "two"}, {"status", status}}};
    CHECK(is_task_starting(url) == starting);
  }
  CHECK_THROWS_AS(is_task_starting(url + "/elsewhere"), Error);
}

TEST_CASE("of all processes that were started from the shim's file the one that answers counts") {
  const test::TemporaryDirectory proc;
  const auto process = [&proc](const char* pid, const char* program) {
    std::filesystem::create_directories(proc / pid);
    std::filesystem::create_symlink(program, proc / pid / "exe");
  };
  const std::string file = "/usr/local/bin/dstack-shim";
  const std::string nobody = "http://127.0.0.1:1";
  CHECK_FALSE(running_program(file, nobody, proc.path()));
  process("20", "/usr/bin/dockerd");
  CHECK_FALSE(running_program(file, nobody, proc.path()));
  process("30", "/usr/local/bin/dstack-shim (deleted)");  // a command that was started before the file was replaced
  CHECK(running_program(file, nobody, proc.path()) == proc / "30/exe");
  process("40", "/usr/local/bin/dstack-shim");

  json pid = 40;
  http::Server server;
  server.get("/local/settings", [&pid](const http::Request&) { return http::Response::json({{"pid", pid}}); });
  const test::RunningServer running(server);
  const std::string url = std::format("http://127.0.0.1:{}", running.port());
  CHECK(running_program(file, url, proc.path()) == proc / "40/exe");
  pid = 20;
  CHECK_FALSE(running_program(file, url, proc.path()));
}

}  // namespace dstack::runner::join
