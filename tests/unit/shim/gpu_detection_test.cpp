#include "shim/gpu_detection.h"

#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>
#include <format>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "common/http/client.h"
#include "common/os/signals.h"
#include "shim/api/instance_routes.h"
#include "shim/api/metrics_route.h"
#include "shim/task/task_manager.h"
#include "shim/volume/host_volumes.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_engine.h"
#include "tests/support/fake_tools.h"

namespace dstack::shim {

namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using task::TaskStatus;

constexpr const char* kOneGpu = "NVIDIA L4, 23034, GPU-2b79666e-d81f-f3f8-fd47-9903f118c3f5, 550.54.15\n";

// A host with NVIDIA's nodes, whose nvidia-smi does what the test says, and a shim that serves while that runs.
struct Host {
  test::FakeTools tools;
  test::TemporaryDirectory folder;
  test::FakeEngine engine;
  test::FakeClock clock;
  docker::EngineClient docker{docker::engine_at_socket(engine.socket_path()), clock};
  docker::ImagePuller puller{docker, clock};
  host::KeyRing keys;
  volume::HostVolumes volumes;
  gpu::HostGpus gpus{folder / "root"};
  metrics::Registry registry;
  Drain drain{folder.path()};
  dcgm::Services services;
  std::optional<GpuDetection> detection;
  std::optional<task::TaskManager> tasks;
  http::Server server;
  std::jthread serving;
  std::optional<http::Client> client;

  explicit Host(std::string_view nvidia_smi) {
    os::ignore_broken_pipes();
    std::filesystem::create_directories(folder / "root/dev");
    std::ofstream(folder / "root/dev/nvidiactl") << "";
    std::filesystem::create_directories(home());
    std::ofstream(folder / "dstack-runner") << "#!/bin/sh\n";
    REQUIRE(::chmod((folder / "dstack-runner").c_str(), 0755) == 0);
    tools.add("nvidia-smi", nvidia_smi);
    engine.add_image("app:1");
    detection.emplace(GpuDetection::Services{docker, puller, gpus}, home(), folder / "root", clock);
    tasks.emplace(home(), task::HostParts{docker, puller, keys, volumes, gpus},
                  task::LaunchSettings{.runner_binary = folder / "dstack-runner"}, clock);
    tasks->restore();
    api::add_instance_routes(server, *tasks, gpus, services);
    api::add_metrics_route(server, registry, *tasks, gpus, drain);
    const int port = server.bind("127.0.0.1", 0);
    serving = std::jthread([this] { server.run(); });
    client.emplace(http::Endpoint{.base_url = std::format("http://127.0.0.1:{}", port)});
  }
  ~Host() { server.stop(); }

  std::filesystem::path home() const { return folder / "home"; }
  std::filesystem::path host_info() const { return home() / "host_info.json"; }
  http::ClientResponse get(const std::string& path) { return client->send({.path = path}); }
  void submit(const std::string& id, std::int64_t gpu) {
    tasks->submit({.id = id, .name = id, .image_name = "app:1", .gpu = gpu}, {});
  }
  void await(const std::string& id, TaskStatus status) {
    while (tasks->info(id).status != status) std::this_thread::yield();
  }
  // The tool is running, and its time limit is set.
  void await_hanging_tool() {
    while (tools.calls("nvidia-smi") == 0) std::this_thread::yield();
    clock.await_deadline_within(60s);
  }
};

}  // namespace

TEST_CASE("while nvidia-smi hangs, the API answers and only what needs the GPUs waits for them") {
  Host host("exec sleep 1000");
  host.await_hanging_tool();
  CHECK(host.get("/api/instance/info").status == 503);
  CHECK(host.get("/api/instance/info").body == "the GPUs of this host are still being detected\n");
  CHECK(json::parse(host.get("/api/instance/health").body) == json{{"dcgm", nullptr}});
  CHECK_FALSE(host.get("/metrics").body.contains("dstack_shim_gpus"));
  CHECK_FALSE(std::filesystem::exists(host.host_info()));

  host.submit("with", 1);
  host.submit("all", -1);
  host.submit("without", 0);
  host.await("without", TaskStatus::running);
  host.await("with", TaskStatus::preparing);
  host.await("all", TaskStatus::preparing);
  CHECK_FALSE(host.tasks->info("with").gpu_ids);

  host.clock.advance(60s);
  host.await("with", TaskStatus::terminated);
  CHECK(host.tasks->info("with").termination_reason == "executor_error");
  CHECK(host.tasks->info("with").termination_message.contains("nvidia-smi"));
  host.await("all", TaskStatus::running);
  CHECK(json::parse(host.get("/api/instance/info").body) == json::object());
  CHECK(host.get("/metrics").body.contains(R"(dstack_shim_gpus{vendor="none",state="free"} 0)"));
  while (!std::filesystem::exists(host.host_info())) std::this_thread::yield();
  CHECK(json::parse(std::ifstream(host.host_info()))["gpu_vendor"] == "none");
}

TEST_CASE("a task that waits for slow GPUs gets them once they are known, and one that is terminated does not wait") {
  Host host(std::format("until [ -e \"$STATE/go\" ]; do sleep 0.01; done; printf '{}'", kOneGpu));
  host.await_hanging_tool();
  host.submit("given-up", 1);
  host.await("given-up", TaskStatus::preparing);
  CHECK(host.tasks->terminate("given-up", {.reason = "terminated_by_server"}, 0s).status == TaskStatus::terminated);
  host.submit("patient", 1);
  host.await("patient", TaskStatus::preparing);
  std::ofstream(host.tools.state() / "go") << "";
  host.await("patient", TaskStatus::running);
  CHECK(host.tasks->info("patient").gpu_ids->size() == 1);
  CHECK(host.get("/api/instance/info").status == 200);
  while (!std::filesystem::exists(host.host_info())) std::this_thread::yield();
  CHECK(json::parse(std::ifstream(host.host_info()))["gpu_count"] == 1);
}

TEST_CASE("a shim that leaves does not wait for a tool that hangs") {
  Host host("exec sleep 1000");
  host.await_hanging_tool();
  host.detection.reset();
  CHECK_FALSE(host.gpus.known());
}

TEST_CASE("host_info.json is written later if Docker is away when the GPUs become known") {
  Host host(std::format("until [ -e \"$STATE/go\" ]; do sleep 0.01; done; printf '{}'", kOneGpu));
  host.await_hanging_tool();
  host.engine.on("GET /info", [](const auto&, auto& reply) { reply.error(500, "not now"); }, 1);
  std::ofstream(host.tools.state() / "go") << "";
  host.engine.await("GET /info", 1);
  CHECK_FALSE(std::filesystem::exists(host.host_info()));
  host.clock.await_pause_within(10s);
  host.clock.advance(10s);
  while (!std::filesystem::exists(host.host_info())) std::this_thread::yield();
}

}  // namespace dstack::shim
