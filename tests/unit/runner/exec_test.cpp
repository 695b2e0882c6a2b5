#include <unistd.h>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "runner/chown.h"
#include "runner/exec/frames.h"
#include "runner/exec/request.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::runner;
using namespace dstack::runner::exec;
using nlohmann::json;

namespace {

struct Users {
  test::TemporaryDirectory folder;
  os::UserDatabase database{folder / "passwd", folder / "group"};

  Users() {
    std::ofstream(folder / "passwd") << "app:x:1000:1001::/:/bin/sh\n";
    std::ofstream(folder / "group") << "team:x:500:app\n";
  }
  ExecSpec read(const json& more) const {
    json body{{"id", "one"}, {"argv", {"/bin/sh"}}};
    if (more.is_object()) body.update(more);
    return read_exec(body.dump(), {{"PATH", "/bin:/usr/bin"}, {"A", "container"}}, database);
  }
};

bool has(const ExecSpec& spec, const std::string& variable) {
  return std::ranges::contains(spec.environment, variable);
}

}  // namespace

TEST_CASE("the last frame is found in pieces of any size") {
  const std::string stream = frame(FrameKind::output, "abc") + frame(FrameKind::errors, "") +
                             frame(FrameKind::output, std::string(3, '\3')) + frame(FrameKind::end, "{}");
  const std::size_t begin = stream.size() - kFrameHeader - 2;
  for (std::size_t size = 1; size <= stream.size(); ++size) {
    CAPTURE(size);
    FrameReader reader;
    std::size_t before = 0;
    for (std::size_t at = 0; at < stream.size(); at += size) {
      const bool seen = reader.end_seen();
      before += reader.before_end(std::string_view(stream).substr(at, size));
      if (seen) CHECK(reader.end_seen());
    }
    CHECK(reader.end_seen());
    CHECK(before == begin);
  }
}

TEST_CASE_METHOD(Users, "a program's environment is the container's under its own, with a HOME and a PATH") {
  const ExecSpec spec = read({{"env", {{"A", "own"}, {"B", "x=y"}}}});
  CHECK(has(spec, "A=own"));
  CHECK(has(spec, "B=x=y"));
  CHECK(has(spec, "HOME=/root"));
  CHECK(has(spec, "PATH=/bin:/usr/bin"));
  CHECK(has(read({{"env", {{"HOME", "/given"}}}}), "HOME=/given"));
  CHECK(has(read_exec(R"({"id":"a","argv":["/bin/sh"]})", {}, database),
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
}

TEST_CASE_METHOD(Users, "a user is a name or a number, with or without a group") {
  CHECK(read({}).user.uid == 0);
  CHECK(read({{"user", "root"}}).user.uid == 0);
  const job::JobUser app = read({{"user", "app"}}).user;
  CHECK(app.uid == 1000);
  CHECK(app.gid == 1001);
  CHECK(app.groups == std::vector<os::UserId>{500, 1001});
  CHECK(read({{"user", "app:team"}}).user.gid == 500);
  const job::JobUser unknown = read({{"user", "4321"}}).user;
  CHECK(unknown.uid == 4321);
  CHECK(unknown.gid == 0);
  CHECK(unknown.home == "/");
  CHECK(read({{"user", "4321:77"}}).user.gid == 77);
}

TEST_CASE_METHOD(Users, "what cannot be meant is refused with the field's name") {
  const auto [more, field] = GENERATE(table<const char*, const char*>({
      {R"({"id": ""})", "id"},
      {R"({"id": "a.b"})", "id"},
      {R"({"argv": []})", "argv"},
      {R"({"argv": [""]})", "argv"},
      {R"({"argv": "ls"})", "argv"},
      {R"({"env": {"A": 5}})", "env"},
      {R"({"working_dir": "/absent/folder"})", "working_dir"},
      {R"({"user": "stranger"})", "user"},
      {R"({"user": "app:strangers"})", "user"},
      {R"({"user": "99999999999"})", "user"},
      {R"({"input": "%"})", "input"},
  }));
  CAPTURE(more);
  try {
    read(json::parse(more));
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::invalid);
    CHECK(std::string_view(error.what()).starts_with(field));
  }
}

TEST_CASE_METHOD(Users, "a program that is not there, and one that is none, are told apart") {
  const auto why = [this](const std::string& name) {
    try {
      read({{"argv", {name}}});
      return std::string("found");
    } catch (const NoSuchProgram& error) {
      return std::string(error.what());
    }
  };
  CHECK(why("sh") == "found");
  CHECK(why("absent-program") == "absent-program: not found");
  CHECK(why("/absent/program") == "/absent/program: not found");
  CHECK(why("/etc/passwd") == "/etc/passwd: not executable");
  CHECK(why("/etc") == "/etc: not executable");
}

TEST_CASE("a stop is SIGTERM and five seconds unless it says otherwise") {
  CHECK(read_stop("").signal == SIGTERM);
  CHECK(read_stop("{}").grace == std::chrono::seconds(5));
  CHECK(read_stop(R"({"signal":"SIGINT","grace":0.5})").signal == SIGINT);
  CHECK(read_stop(R"({"signal":"SIGINT","grace":0.5})").grace == std::chrono::milliseconds(500));
  CHECK(read_stop(R"({"signal":"SIGCONT"})").signal == SIGCONT);
  for (const char* body : {R"({"signal":"SIGNONE"})", R"({"signal":"INT"})", R"({"signal":9})", R"({"grace":-1})"}) {
    CAPTURE(body);
    CHECK_THROWS_AS(read_stop(body), Error);
  }
}

TEST_CASE_METHOD(Users, "what is handed to the supervisor is what it reads") {
  const ExecSpec spec = read({{"user", "app"}, {"input", "aGVsbG8="}, {"working_dir", "/etc"}});
  CHECK(to_json(spec_of(to_json(spec))) == to_json(spec));
}

TEST_CASE("an owner that is right already is left, and a path that is not there is an error") {
  const test::TemporaryDirectory folder;
  std::filesystem::create_directories(folder / "a/b");
  CHECK(run_chown({.uid = ::geteuid(), .gid = ::getegid(), .path = folder.path()}) == 0);
  CHECK(run_chown({.uid = 1, .gid = 1, .path = folder / "absent"}) == 1);
}
