#include "shim/api/instance_routes.h"

#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <format>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "common/http/client.h"
#include "common/os/signals.h"
#include "shim/dcgm/helper.h"
#include "shim/gpu/host_gpus.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_engine.h"
#include "tests/support/fake_tools.h"

namespace dstack::shim {

namespace {

using nlohmann::json;

constexpr const char* kUuid0 = "GPU-0781f3bb-da15-f334-d5db-37b3f19542d0";
constexpr const char* kUuid1 = "GPU-41cc2907-3249-5a6b-f0e4-d04063b183a9";

class NoVolumes final : public volume::VolumeManager {
 public:
  void mount(const std::string&, const std::vector<volume::VolumeInfo>&, std::stop_token) override {}
  void restore(const std::string&, const std::vector<volume::VolumeInfo>&) override {}
  void unmount(const std::string&, const std::vector<volume::VolumeInfo>&, std::stop_token) override {}
};

// The routes of a host with these GPUs, served on a port.
struct Fixture {
  test::FakeEngine engine;
  test::TemporaryDirectory folder;
  docker::EngineClient docker{docker::engine_at_socket(engine.socket_path())};
  docker::ImagePuller puller{docker};
  host::KeyRing keys;
  NoVolumes volumes;
  gpu::HostGpus gpus;
  task::TaskManager tasks;
  dcgm::Services services;
  http::Server server;
  std::thread thread;
  std::optional<http::Client> client;

  explicit Fixture(const gpu::Inventory& inventory = {})
      : gpus(inventory, folder.path()),
        tasks(folder / "home", {docker, puller, keys, volumes, gpus}, {.runner_binary = folder / "dstack-runner"}) {
    os::ignore_broken_pipes();
    std::ofstream(folder / "dstack-runner") << "#!/bin/sh\n";
    ::chmod((folder / "dstack-runner").c_str(), 0755);
    engine.add_image("app:1");
    tasks.restore();
  }
  ~Fixture() {
    server.stop();
    thread.join();
  }

  void serve() {
    api::add_instance_routes(server, tasks, gpus, services);
    const int port = server.bind("127.0.0.1", 0);
    thread = std::thread([this] { server.run(); });
    client.emplace(http::Endpoint{.base_url = std::format("http://127.0.0.1:{}", port)});
  }
  http::ClientResponse get(const std::string& path) { return client->send({.path = path}); }

  void submit(const std::string& id, std::int64_t gpu) {
    tasks.submit({.id = id, .name = id, .image_name = "app:1", .gpu = gpu}, {});
    while (tasks.info(id).status != task::TaskStatus::running) std::this_thread::yield();
  }
};

gpu::Inventory two_gpus() {
  return {.vendor = gpu::Vendor::nvidia,
          .driver_version = "570.86.15",
          .gpus = {{.id = kUuid0, .name = "L4"}, {.id = kUuid1, .name = "L4"}}};
}

// dcgm-exporter's port.
struct ExporterPort {
  http::Server server;
  int status = 200;
  int port;
  std::thread thread;

  ExporterPort() {
    server.get("/metrics", [this](const http::Request&) {
      return http::Response::text(
          status, std::format("# HELP x y\n# TYPE x gauge\nx{{UUID=\"{}\"}} 1\nx{{UUID=\"{}\"}} 2\n", kUuid0, kUuid1));
    });
    port = server.bind("127.0.0.1", 0);
    thread = std::thread([this] { server.run(); });
  }
  ~ExporterPort() {
    server.stop();
    thread.join();
  }
};

void add_exporter(Fixture& host, const ExporterPort& port) {
  host.services.exporter =
      std::make_unique<dcgm::Exporter>(dcgm::ExporterSettings{.command = {"true"},
                                                              .port = port.port,
                                                              .interval = std::chrono::milliseconds(1),
                                                              .counters_path = host.folder / "counters.csv"});
}

}  // namespace

TEST_CASE("a host without a GPU has nothing to tell of itself") {
  Fixture host;
  host.serve();
  CHECK(json::parse(host.get("/api/instance/info").body) == json::object());
  CHECK(json::parse(host.get("/api/instance/health").body) == json{{"dcgm", nullptr}});
  CHECK(host.get("/metrics/tasks/x").status == 404);
  CHECK(host.get("/metrics/tasks/x").body == "DCGM Exporter is not available\n");
}

TEST_CASE("a driver that was upgraded without a restart is a failure in the host's health, with or without DCGM") {
  Fixture host({.failure = "nvidia-smi names no GPU: Failed to initialize NVML: Driver/library version mismatch"});
  host.serve();
  const json health = json::parse(host.get("/api/instance/health").body)["dcgm"];
  CHECK(health["overall_health"] == 20);
  REQUIRE(health["incidents"].size() == 1);
  CHECK(health["incidents"][0]["health"] == 20);
  CHECK(health["incidents"][0]["error_message"].get<std::string>().contains("restart the host"));
  for (const char* field : {"system", "error_code", "entity_group_id", "entity_id"})
    CHECK(health["incidents"][0][field].is_number_integer());
}

TEST_CASE("a host with GPUs tells their vendor and driver") {
  Fixture host(two_gpus());
  host.serve();
  CHECK(json::parse(host.get("/api/instance/info").body) ==
        json{{"gpu_vendor", "nvidia"}, {"gpu_driver_version", "570.86.15"}});
}

TEST_CASE("a driver that is not known is left out") {
  Fixture host({.vendor = gpu::Vendor::amd, .gpus = {{.id = "/dev/dri/renderD128"}}});
  host.serve();
  CHECK(json::parse(host.get("/api/instance/info").body) == json{{"gpu_vendor", "amd"}});
}

TEST_CASE("a task's metrics are those of its own GPUs, as long as it has them") {
  ExporterPort exporter;
  Fixture host(two_gpus());
  add_exporter(host, exporter);
  host.serve();
  host.submit("a", 1);
  host.submit("b", 1);
  CHECK(host.get("/metrics/tasks/a").body == std::format("# HELP x y\n# TYPE x gauge\nx{{UUID=\"{}\"}} 1\n", kUuid0));
  CHECK(host.get("/metrics/tasks/b").body == std::format("# HELP x y\n# TYPE x gauge\nx{{UUID=\"{}\"}} 2\n", kUuid1));
  host.tasks.terminate("a", {.reason = "terminated_by_server"}, {});
  host.submit("c", 1);
  CHECK(host.get("/metrics/tasks/a").status == 200);
  CHECK(host.get("/metrics/tasks/a").body.empty());
  CHECK(host.get("/metrics/tasks/c").body.contains(kUuid0));
}

TEST_CASE("a task without GPUs has no metrics, an unknown task is not found") {
  ExporterPort exporter;
  Fixture host(two_gpus());
  add_exporter(host, exporter);
  host.serve();
  host.submit("a", 0);
  CHECK(host.get("/metrics/tasks/a").status == 200);
  CHECK(host.get("/metrics/tasks/a").body.empty());
  CHECK(host.get("/metrics/tasks/b").status == 404);
}

TEST_CASE("an exporter that fails is a bad gateway") {
  ExporterPort exporter;
  exporter.status = 500;
  Fixture host(two_gpus());
  add_exporter(host, exporter);
  host.serve();
  host.submit("a", 1);
  CHECK(host.get("/metrics/tasks/a").status == 502);
}

TEST_CASE("the health that DCGM tells is told on, and none otherwise") {
  ::setenv("LD_LIBRARY_PATH", std::filesystem::path(DSTACK_TEST_DCGM4).parent_path().c_str(), 1);
  Fixture host(two_gpus());
  const std::filesystem::path log = host.folder / "dcgm.log";
  for (const char* how : {"", "fail", "crash-check"}) {
    INFO(how);
    if (std::string_view(how) == "crash-check") ::setenv("FAKE_DCGM_LOG", log.c_str(), 1);
    ::setenv("FAKE_DCGM", how, 1);
    if (!host.services.helper) host.services.helper = std::make_unique<dcgm::HelperProgram>();
    host.services.health = std::make_unique<dcgm::Health>(host.services.helper->command(), os::system_clock(),
                                                          dcgm::HealthLimits{.answer = std::chrono::seconds(20)});
    if (!host.client) host.serve();
    const bool crashes = std::string_view(how) == "crash-check";
    const auto ask = [&host] { return json::parse(host.get("/api/instance/health").body)["dcgm"]; };
    json dcgm = ask();
    while (crashes ? !std::filesystem::exists(log) : dcgm.is_null()) dcgm = ask();
    if (crashes) {
      CHECK(dcgm.is_null());
      CHECK(ask().is_null());
    } else if (std::string_view(how) == "fail") {
      CHECK(dcgm["overall_health"] == 20);
      CHECK(dcgm["incidents"][0] == json{{"system", 16},
                                         {"health", 20},
                                         {"error_message", "Uncorrectable ECC error"},
                                         {"error_code", 43},
                                         {"entity_group_id", 1},
                                         {"entity_id", 0}});
    } else {
      CHECK(dcgm == json{{"overall_health", 0}, {"incidents", json::array()}});
    }
  }
  ::unsetenv("LD_LIBRARY_PATH");
  ::unsetenv("FAKE_DCGM");
  ::unsetenv("FAKE_DCGM_LOG");
}

}  // namespace dstack::shim
