#include "runner/job/executor.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <format>
#include <fstream>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/os/file.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_directory.h"

namespace dstack::runner::job {

namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

class Runner {
 public:
  static Submission shell(const std::string& script) {
    Submission submission;
    submission.commands = {"/bin/sh", "-c", script};
    submission.repo_dir = "/";
    submission.repo_data.type = "virtual";
    submission.working_dir = "/";
    return submission;
  }

  void await_end() {
    pollfd event{.fd = executor.over_fd(), .events = POLLIN, .revents = 0};
    ::poll(&event, 1, -1);
  }

  nlohmann::json pull() {
    std::string text;
    logs.pull(0, 0)([&text](std::string_view piece) {
      text += piece;
      return true;
    });
    return nlohmann::json::parse(text);
  }

  std::vector<std::string> states() {
    std::vector<std::string> names;
    for (const auto& state : pull()["job_states"]) names.push_back(state["state"].get<std::string>());
    return names;
  }

  RunPlaces places() const {
    RunPlaces result;
    result.mpi_hostfile = folder / "mpi/hostfile";
    result.authorized_keys = folder / "keys";
    result.profile = {.profile = folder / "profile",
                      .hook = folder / "hook",
                      .variables = folder / "variables",
                      .user = folder / "job_user"};
    return result;
  }

  test::TemporaryDirectory folder;
  Logs logs{folder.path()};
  Executor executor{folder.path(), places(), logs};
};

using States = std::vector<std::string>;

}  // namespace

TEST_CASE("a job goes through its states") {
  Runner runner;
  runner.executor.submit(Runner::shell("exit 0"));
  const auto info = runner.executor.run();
  REQUIRE(info);
  CHECK(info->working_dir == "/");
  runner.await_end();
  CHECK(runner.states() == States{"running", "done"});
  CHECK(runner.executor.over());
}

TEST_CASE("requests out of turn are conflicts that say why") {
  Runner runner;
  CHECK_THROWS_MATCHES(runner.executor.run(), Error, MessageMatches(ContainsSubstring("no job has been submitted")));
  CHECK_THROWS_AS(runner.executor.check_upload_allowed(), Error);
  runner.executor.submit(Runner::shell("exit 1"));
  runner.executor.check_upload_allowed();
  const std::filesystem::path fifo = runner.folder / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  runner.executor.submit(
      Runner::shell("trap 'exit 0' INT; echo ready > " + fifo.string() + "; while :; do sleep 0.01; done"));
  runner.executor.run();
  CHECK(os::read_file(fifo) == "ready\n");
  CHECK_THROWS_MATCHES(runner.executor.submit({}), Error, MessageMatches(ContainsSubstring("runs already")));
  CHECK_THROWS_AS(runner.executor.run(), Error);
  runner.executor.stop();
  runner.await_end();
  CHECK_THROWS_MATCHES(runner.executor.submit({}), Error, MessageMatches(ContainsSubstring("the job is over")));
  CHECK_THROWS_AS(runner.executor.check_upload_allowed(), Error);
  CHECK(runner.states() == States{"running", "terminated"});
}

TEST_CASE("a stop before the run is the end") {
  Runner runner;
  runner.executor.submit(Runner::shell("exit 0"));
  runner.executor.stop();
  runner.executor.stop();
  CHECK(runner.states() == States{"terminated"});
  CHECK(runner.pull()["has_more"] == false);
  CHECK_THROWS_AS(runner.executor.run(), Error);
}

TEST_CASE("a job that is stopped since the host goes down says so, and the runner does not exit as if it were done") {
  Runner runner;
  runner.executor.submit(Runner::shell("exit 0"));
  CHECK(runner.executor.interrupt("The host goes down") == Executor::Phase::submitted);
  runner.executor.stop();
  CHECK(runner.states() == States{"terminated"});
  const auto end = runner.pull()["job_states"][0];
  CHECK(end["termination_reason"] == "interrupted_by_no_capacity");
  CHECK(end["termination_message"] == "The host goes down");
  CHECK(runner.executor.exit_status() == 143);
  CHECK(runner.executor.interrupt("again") == Executor::Phase::over);
}

TEST_CASE("the first stop says why a job ended") {
  for (const bool interrupted_first : {true, false}) {
    Runner runner;
    const std::string fifo = (runner.folder / "fifo").string();
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    runner.executor.submit(
        Runner::shell("trap 'cat " + fifo + "; exit 0' INT; echo ready > " + fifo + "; while :; do sleep 0.01; done"));
    runner.executor.run();
    CHECK(os::read_file(fifo) == "ready\n");
    if (!interrupted_first) runner.executor.stop();
    CHECK(runner.executor.interrupt("The host goes down") == Executor::Phase::running);
    runner.executor.stop();
    std::ofstream(fifo) << "\n";
    runner.await_end();
    const auto end = runner.pull()["job_states"][1];
    CHECK(end["state"] == "terminated");
    CHECK(end["termination_reason"] == (interrupted_first ? "interrupted_by_no_capacity" : ""));
    CHECK(runner.executor.exit_status() == (interrupted_first ? 143 : 0));
  }
}

TEST_CASE("a job that exits by itself is not called interrupted") {
  Runner runner;
  runner.executor.submit(Runner::shell("exit 3"));
  runner.executor.run();
  runner.await_end();
  CHECK(runner.executor.interrupt("The host goes down") == Executor::Phase::over);
  CHECK(runner.pull()["job_states"][1]["termination_reason"] == "container_exited_with_error");
  CHECK(runner.executor.exit_status() == 0);
}

TEST_CASE("a job whose user cannot be worked out has failed before it runs") {
  Runner runner;
  Submission submission = Runner::shell("exit 0");
  submission.user = UserRequest{.uid = -1, .username = {}, .gid = {}, .groupname = {}};
  runner.executor.submit(submission);
  CHECK_FALSE(runner.executor.run());
  CHECK(runner.executor.over());
  CHECK(runner.states() == States{"failed"});
  CHECK(runner.pull()["job_states"][0]["termination_reason"] == "executor_error");
}

TEST_CASE("a job that prints more than its quota before anybody notices has failed all the same") {
  Runner runner;
  Submission submission = Runner::shell("i=0; while [ $i -lt 100 ]; do echo 0123456789; i=$((i+1)); done");
  submission.log_quota_hour = 500;
  runner.executor.submit(submission);
  runner.executor.run();
  runner.await_end();
  CHECK(runner.pull()["job_states"].back()["termination_reason"] == "log_quota_exceeded");
}

TEST_CASE("a job finds its profile and its hostfile") {
  Runner runner;
  Submission submission = Runner::shell("grep -q DSTACK_RUN_ID profile && grep -qx 10.0.0.1 mpi/hostfile");
  submission.working_dir = runner.folder.path().string();
  submission.cluster.job_ips = {"10.0.0.1"};
  runner.executor.submit(submission);
  runner.executor.run();
  runner.await_end();
  CHECK(runner.states() == States{"running", "done"});
}

TEST_CASE("a stop does not wait for a git server that does not answer") {
  const test::TemporaryDirectory folder;
  test::FakeClock clock;
  Logs logs(folder.path(), clock);
  Runner other;  // for its places
  Executor executor(folder.path(), other.places(), logs, clock);
  const os::UniqueFd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(::bind(server.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0);
  REQUIRE(::listen(server.get(), 1) == 0);
  REQUIRE(::getsockname(server.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  Submission submission = Runner::shell("exit 0");
  submission.repo_data.type = "remote";
  submission.repo_dir = folder / "repo";
  submission.repo_credentials =
      RepoCredentials{.clone_url = std::format("https://127.0.0.1:{}/repo.git", ntohs(address.sin_port)),
                      .private_key = {},
                      .oauth_token = Secret("token")};
  executor.submit(submission);
  executor.run();
  os::UniqueFd connection(::accept(server.get(), nullptr, nullptr));
  executor.stop();
  clock.await_deadline_within(std::chrono::seconds(1));
  clock.advance(std::chrono::seconds(1));
  pollfd over{.fd = executor.over_fd(), .events = POLLIN, .revents = 0};
  ::poll(&over, 1, -1);
  CHECK(executor.hangs());
  std::string text;
  logs.pull(0, 0)([&text](std::string_view piece) {
    text += piece;
    return true;
  });
  const auto page = nlohmann::json::parse(text);
  CHECK(page["has_more"] == false);
  CHECK(page["job_states"].at(0)["state"] == "terminated");
  connection.reset();  // what was given up ends now
}

}  // namespace dstack::runner::job
