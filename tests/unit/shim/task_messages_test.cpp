#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <vector>

#include "common/http/server.h"
#include "common/termination_reason.h"
#include "shim/task/going_away.h"
#include "tests/support/running_server.h"
#include "tests/unit/shim/task_fixture.h"

namespace dstack::shim {

namespace {

// A runner at the port that tasks in the host's network have theirs.
class FakeRunner {
 public:
  explicit FakeRunner(std::string progress) {
    server_.post("/api/stop", [this, progress = std::move(progress)](const http::Request& request) {
      const std::scoped_lock lock(mutex_);
      bodies_.push_back(nlohmann::json::parse(request.body));
      return progress.empty() ? http::Response::empty() : http::Response::json({{"job", progress}});
    });
    server_.post("/api/notice", [this](const http::Request& request) {
      const std::scoped_lock lock(mutex_);
      notices_.push_back(nlohmann::json::parse(request.body)["message"].get<std::string>());
      return http::Response::empty();
    });
    running_.emplace(server_);
  }
  int port() const { return running_->port(); }
  std::vector<nlohmann::json> stops() {
    const std::scoped_lock lock(mutex_);
    return bodies_;
  }
  std::vector<std::string> notices() {
    const std::scoped_lock lock(mutex_);
    return notices_;
  }

 private:
  std::mutex mutex_;
  std::vector<nlohmann::json> bodies_;
  std::vector<std::string> notices_;
  http::Server server_;
  std::optional<test::RunningServer> running_;
};

struct HostEndFixture : TaskFixture {
  // Tasks whose runners answer there.
  void with_runner(const FakeRunner& fake) { runner_http_port = fake.port(); }
  static task::TaskConfig in_host_network(const std::string& id = "1") {
    task::TaskConfig wanted = config(id);
    wanted.network_mode = docker::NetworkMode::host;
    return wanted;
  }
};

constexpr const char* kMessage = "The host goes down in 118 s: the cloud wants it back";

}  // namespace

TEST_CASE_METHOD(HostEndFixture, "a job is stopped once, and the end of its container says why") {
  FakeRunner fake("running");
  with_runner(fake);
  run(in_host_network());
  for (int i = 0; i < 3; ++i) tasks().interrupt(kMessage);
  await([&] { return !fake.stops().empty(); });
  CHECK(tasks().info("1").status == TaskStatus::running);
  engine.end_container(container(), 143);
  await([&] { return tasks().info("1").status == TaskStatus::terminated; });
  CHECK(tasks().info("1").termination_reason == termination_reason::kInterruptedByNoCapacity);
  CHECK(tasks().info("1").termination_message == kMessage);
  REQUIRE(fake.stops().size() == 1);
  CHECK(fake.stops()[0] ==
        nlohmann::json{{"termination_reason", "interrupted_by_no_capacity"}, {"termination_message", kMessage}});
}

TEST_CASE_METHOD(HostEndFixture, "a job that was done before it could be stopped is done") {
  FakeRunner fake("");
  with_runner(fake);
  run(in_host_network());
  tasks().interrupt(kMessage);
  await([&] { return !fake.stops().empty(); });
  engine.end_container(container(), 0);
  await([&] { return tasks().info("1").status == TaskStatus::terminated; });
  CHECK(tasks().info("1").termination_reason == termination_reason::kDoneByRunner);
}

TEST_CASE_METHOD(HostEndFixture, "a task whose job has not come yet is terminated, and so is one that comes later") {
  FakeRunner fake("waiting");
  with_runner(fake);
  run(in_host_network());
  tasks().interrupt(kMessage);
  await([&] { return tasks().info("1").status == TaskStatus::terminated; });
  CHECK(tasks().info("1").termination_reason == termination_reason::kInterruptedByNoCapacity);
  run(in_host_network("2"));
  tasks().interrupt(kMessage);
  await([&] { return tasks().info("2").status == TaskStatus::terminated; });
  CHECK(tasks().info("2").termination_message == kMessage);
}

TEST_CASE_METHOD(HostEndFixture, "a job hears that its GPU is set aside, other jobs do not") {
  FakeRunner fake("running");
  with_runner(fake);
  for (const char* id : {"1", "2"}) {
    task::TaskConfig wanted = in_host_network(id);
    wanted.gpu = 1;
    run(wanted);
  }
  const std::string id = tasks().info("2").gpu_ids.value().front();
  tasks().tell_jobs_of_gpu(id, "GPU is not well");
  tasks().tell_jobs_of_gpu("another", "nobody has it");
  await([&] { return !fake.notices().empty(); });
  process.reset();
  CHECK(fake.notices() == std::vector<std::string>{"GPU is not well"});
}

TEST_CASE("a launcher of a CI finds a file in its folder, through no link of somebody else's") {
  const test::TemporaryDirectory folder;
  const std::filesystem::path work = folder / "work";
  std::filesystem::create_directories(work / "agents/1/state");
  CHECK_FALSE(task::announce_end_to_launcher(work / "state/owner"));
  std::ofstream(work / "launcher.json") << "{}";
  CHECK(task::announce_end_to_launcher(work / "agents/1/state/owner"));
  CHECK(std::filesystem::exists(work / "going-away"));
  CHECK(task::announce_end_to_launcher(work / "shim"));
  std::filesystem::remove(work / "going-away");
  std::filesystem::create_symlink(folder / "elsewhere", work / "going-away");
  task::announce_end_to_launcher(work / "shim");
  CHECK_FALSE(std::filesystem::exists(folder / "elsewhere"));
}

}  // namespace dstack::shim
