#include "shim/ci/github/agent.h"

#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fstream>
#include <string>
#include <vector>

#include "common/os/command.h"
#include "common/os/file.h"
#include "common/os/file_locks.h"
#include "shim/component/checksum.h"
#include "tests/support/temporary_directory.h"

namespace dstack::shim::ci::github {

using Kind = AgentEvent::Kind;
using Catch::Matchers::ContainsSubstring;

namespace {

void make_file(const std::filesystem::path& path, const std::string& content = "x", mode_t mode = 0644) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << content;
  REQUIRE(::chmod(path.c_str(), mode) == 0);
}

}  // namespace

TEST_CASE("lines of the Actions agent are events") {
  const std::string stamp = "2026-01-31 12:00:00Z: ";
  CHECK(parse_line(stamp + "Listening for Jobs").kind == Kind::connected);
  CHECK(parse_line(stamp + "Runner connect error: refused. Retrying until reconnected.").kind == Kind::unreachable);
  CHECK(parse_line(stamp + "Runner reconnected.").kind == Kind::connected);
  CHECK(parse_line("The runner no longer exists on the server.").kind == Kind::refused);
  CHECK(parse_line("Failed to create a session. The runner registration has been deleted from the server").kind ==
        Kind::refused);
  CHECK(parse_line("√ Connected to GitHub").kind == Kind::nothing);
  CHECK(parse_line("").kind == Kind::nothing);
  AgentEvent event = parse_line(stamp + "Running job: build (3, linux)");
  CHECK(event.kind == Kind::job_started);
  CHECK(event.job == "build (3, linux)");
  for (const auto& [result, word, lost] :
       {std::tuple("Succeeded", "success", false), {"Failed", "failed", true}, {"Canceled", "cancelled", true}}) {
    event = parse_line(stamp + "Job build (3, linux) completed with result: " + result);
    CHECK(event.kind == Kind::job_ended);
    CHECK(event.job == "build (3, linux)");
    CHECK(event.result == word);
    CHECK(event.lost == lost);
  }
}

TEST_CASE("a job's name means nothing else, whatever it is") {
  const std::string stamp = "2026-01-31 12:00:00Z: ";
  CHECK(parse_line(stamp + "Running job: Runner reconnected.").kind == Kind::job_started);
  CHECK(parse_line(stamp + "Running job: x completed with result: Failed").job == "x completed with result: Failed");
  CHECK(parse_line(stamp + "Job a completed with result: b completed with result: Succeeded").job ==
        "a completed with result: b");
  CHECK(parse_line(stamp + "Running job: the runner no longer exists").kind == Kind::job_started);
}

TEST_CASE("the agent's configuration and scripts travel in its environment") {
  const test::TemporaryDirectory parent;
  const AgentFolder folder(parent.path());
  const auto variables = agent_variables(folder, Secret("c0nfig"), false, true, {"PATH=/bin"});
  for (const std::string& entry :
       {std::string("PATH=/bin"), std::string("ACTIONS_RUNNER_INPUT_JITCONFIG=c0nfig"),
        std::string("RUNNER_MANUALLY_TRAP_SIG=1"), std::string("ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE=1"),
        "ACTIONS_RUNNER_CONTAINER_HOOKS=" + folder.container_hook().string(),
        "ACTIONS_RUNNER_HOOK_JOB_STARTED=" + folder.started_hook().string(),
        "ACTIONS_RUNNER_HOOK_JOB_COMPLETED=" + folder.completed_hook().string(),
        std::string("RUNNER_ALLOW_RUNASROOT=1"), std::string("ACTIONS_RUNNER_REQUIRE_JOB_CONTAINER=true")}) {
    CAPTURE(entry);
    CHECK(std::ranges::contains(variables, entry));
  }
  CHECK(variables.size() == 9);
  const auto open = agent_variables(folder, Secret("c0nfig"), true, false, {});
  CHECK(open.size() == 6);
}

TEST_CASE("the hook of a job's start notes which job it is") {
  const test::TemporaryDirectory parent;
  AgentFolder folder(parent.path() / "it's here");
  folder.write_hooks({});
  CHECK_FALSE(read_job(folder.job_note(), "71"));
  const auto run =
      os::run_command({.arguments = {"bash", "-e", folder.started_hook()},
                       .environment = std::vector<std::string>{"PATH=/usr/bin:/bin", "GITHUB_RUN_ID=5",
                                                               "GITHUB_JOB=train", "GITHUB_REPOSITORY=o/r"}});
  REQUIRE(run.succeeded());
  CHECK(read_job(folder.job_note(), "71") == CiJob{.id = "train", .project = "o/r", .pipeline = "5", .runner = "71"});
  for (const char* wrong :
       {"", "5\ntrain\n", "x\ntrain\no/r\n", "5\ntrain\no/../../user\nmore\n", "5\n\no/r\n", "5\nt\no r\n"}) {
    CAPTURE(wrong);
    std::ofstream(folder.job_note()) << wrong;
    CHECK_FALSE(read_job(folder.job_note(), "71"));
  }
}

TEST_CASE("an agent's folder is new, closed to others and locked while its agent lives") {
  const test::TemporaryDirectory parent;
  std::filesystem::path owner;
  {
    AgentFolder first(parent.path());
    AgentFolder second(parent.path());
    CHECK(first.program() != second.program());
    owner = first.state() / "owner";
    CHECK(os::is_locked(owner));
    struct stat status{};
    REQUIRE(::stat(first.program().parent_path().c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0700);
    second.remove(1);
    CHECK_FALSE(std::filesystem::exists(second.program()));
  }
  CHECK_FALSE(os::is_locked(owner));
}

TEST_CASE("a given agent's folder is copied without what a registration and jobs left, and no link leads back") {
  const test::TemporaryDirectory parent;
  const std::filesystem::path given = parent.path() / "given";
  make_file(given / "run.sh", "#!/bin/sh\n", 0755);
  make_file(given / "bin.2/Runner.Listener", "listener", 0755);
  std::filesystem::create_directory_symlink(given / "bin.2", given / "bin");
  std::filesystem::create_symlink("Runner.Listener", given / "bin.2/alias");
  make_file(given / ".credentials");
  make_file(given / "_work/secret");
  AgentFolder folder(parent.path() / "agents");
  folder.put_program(given, {});
  const std::filesystem::path program = folder.program();
  CHECK(os::read_file(program / "bin/Runner.Listener") == "listener");
  CHECK(::access((program / "bin/Runner.Listener").c_str(), X_OK) == 0);
  CHECK_FALSE(std::filesystem::is_symlink(program / "bin"));
  CHECK(std::filesystem::read_symlink(program / "bin/alias") == "Runner.Listener");
  CHECK_FALSE(std::filesystem::exists(program / ".credentials"));
  CHECK_FALSE(std::filesystem::exists(program / "_work"));
}

TEST_CASE("something that is not an agent is refused by its name") {
  const test::TemporaryDirectory parent;
  make_file(parent.path() / "file.txt");
  make_file(parent.path() / "broken.tar.gz");
  std::filesystem::create_directory(parent.path() / "empty");
  for (const char* name : {"file.txt", "empty", "missing"}) {
    CAPTURE(name);
    CHECK_THROWS_WITH(check_agent(parent.path() / name), ContainsSubstring("--agent") && ContainsSubstring(name));
  }
  const auto broken = check_agent(parent.path() / "broken.tar.gz");
  AgentFolder folder(parent.path() / "agents");
  CHECK_THROWS_WITH(folder.put_program(broken, {}), ContainsSubstring("broken.tar.gz"));
}

TEST_CASE("a file's SHA-256 checksum is that of its content") {
  const test::TemporaryDirectory parent;
  make_file(parent.path() / "abc", "abc");
  make_file(parent.path() / "empty", "");
  CHECK(component::sha256_of(parent.path() / "abc") ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(component::sha256_of(parent.path() / "empty") ==
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK_THROWS_WITH(component::sha256_of(parent.path() / "missing"), ContainsSubstring("missing"));
}

TEST_CASE("what another launcher says of an agent is checked as GitHub's own answer is") {
  const std::string sum(64, 'a');
  const AgentRelease release =
      parse_agent_release(R"({"file_name":"actions-runner.tar.gz","url":"https://x/a","sha256":")" + sum + "\"}");
  CHECK((release.file_name == "actions-runner.tar.gz" && release.url == "https://x/a" && release.sha256 == sum));
  CHECK_THROWS_AS(parse_agent_release(""), Error);
  CHECK_THROWS_AS(parse_agent_release(R"({"file_name":"../a.tar.gz","url":"u","sha256":")" + sum + "\"}"), Error);
  CHECK_THROWS_AS(parse_agent_release(R"({"file_name":"a.tar.gz","url":"u","sha256":""})"), Error);
}

}  // namespace dstack::shim::ci::github
