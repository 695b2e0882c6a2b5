#include <catch2/catch_test_macros.hpp>
#include <format>
#include <thread>

#include "common/http/client.h"
#include "common/os/signals.h"
#include "shim/api/metrics_route.h"
#include "tests/unit/shim/task_fixture.h"

namespace dstack::shim {

namespace {

struct Fixture : TaskFixture {
  metrics::Registry registry;
  gpu::HostGpus host_gpus{{.vendor = gpu::Vendor::nvidia,
                           .driver_version = "550",
                           .gpus = {{.id = "GPU-a", .name = "A"}, {.id = "GPU-b", .name = "A"}}}};
  Drain drain{folder.path()};
  http::Server server;
  std::thread thread;
  std::optional<http::Client> client;

  Fixture() {
    os::ignore_broken_pipes();
    api::add_metrics_route(server, registry, tasks(), host_gpus, drain);
    const int port = server.bind("127.0.0.1", 0);
    thread = std::thread([this] { server.run(); });
    client.emplace(http::Endpoint{.base_url = std::format("http://127.0.0.1:{}", port)});
  }
  ~Fixture() {
    server.stop();
    thread.join();
  }

  std::string scrape() { return client->send({.path = "/metrics"}).body; }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "tasks are counted by status, every status is there, no id is told") {
  run(config("secret-id"));
  CHECK(
      scrape().contains("\n# TYPE dstack_shim_tasks gauge\n"
                        "dstack_shim_tasks{status=\"pending\"} 0\n"
                        "dstack_shim_tasks{status=\"preparing\"} 0\n"
                        "dstack_shim_tasks{status=\"pulling\"} 0\n"
                        "dstack_shim_tasks{status=\"creating\"} 0\n"
                        "dstack_shim_tasks{status=\"running\"} 1\n"
                        "dstack_shim_tasks{status=\"terminated\"} 0\n"));
  terminate("secret-id");
  const std::string text = scrape();
  CHECK(text.contains("\ndstack_shim_tasks{status=\"running\"} 0\n"));
  CHECK(text.contains("\ndstack_shim_tasks{status=\"terminated\"} 1\n"));
  CHECK_FALSE(text.contains("secret-id"));
}

TEST_CASE_METHOD(Fixture, "a drained host is 1") {
  CHECK(scrape().contains("\ndstack_shim_drained 0\n"));
  drain.begin("");
  CHECK(scrape().contains("\ndstack_shim_drained 1\n"));
}

TEST_CASE_METHOD(Fixture, "GPUs are free or taken") {
  CHECK(host_gpus.take(1, {}).size() == 1);
  CHECK(
      scrape().contains("\ndstack_shim_gpus{vendor=\"nvidia\",state=\"free\"} 1\n"
                        "dstack_shim_gpus{vendor=\"nvidia\",state=\"taken\"} 1\n"));
}

TEST_CASE_METHOD(Fixture, "heat, memory outside of containers and a driver that was upgraded are there") {
  CHECK(scrape().contains("\ndstack_shim_gpus_slowed_by_heat 0\n"));
  host_gpus.set_remarks({.hot = {"GPU-a"},
                         .outside = {{.gpu_id = "GPU-a", .pid = 17, .name = "Xorg", .memory = 512},
                                     {.gpu_id = "GPU-b", .pid = 17, .name = "Xorg", .memory = 1}},
                         .driver_mismatch = true});
  const std::string text = scrape();
  for (const char* line : {"gpus_slowed_by_heat 1", "gpu_outside_processes 2", "gpu_outside_memory_bytes 537919488",
                           "gpu_driver_mismatch 1"})
    CHECK(text.contains(std::format("\ndstack_shim_{}\n", line)));
}

TEST_CASE_METHOD(Fixture, "answers are counted by route, other paths under one name") {
  scrape();
  client->send({.path = "/nothing/1"});
  client->send({.path = "/nothing/2"});
  const http::ClientResponse answer = client->send({.path = "/metrics"});
  CHECK(answer.headers.find("content-type")->second == "text/plain; version=0.0.4; charset=utf-8");
  CHECK(answer.body.contains("\ndstack_shim_build_info{version=\"latest\"} 1\n"));
  CHECK(
      answer.body.contains("\ndstack_shim_http_requests_total{route=\"unknown\",code=\"404\"} 2\n"
                           "dstack_shim_http_requests_total{route=\"/metrics\",code=\"200\"} 1\n"));
}

}  // namespace dstack::shim
