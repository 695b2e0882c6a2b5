#include "shim/doctor/gpu_health_checks.h"
#include "shim/doctor/running_shim.h"

#include <nlohmann/json.hpp>
#include <thread>

#include "common/http/server.h"
#include "shim/api/local_settings.h"
#include "shim/doctor/drain_check.h"
#include "tests/unit/shim/doctor_test.h"

namespace dstack::shim::doctor {

namespace {

struct Served {
  http::Server server;
  int port = 0;
  std::thread thread;

  void start() {
    port = server.bind("127.0.0.1", 0);
    thread = std::thread([this] { server.run(); });
  }
  ~Served() {
    server.stop();
    thread.join();
  }
};

}  // namespace

TEST_CASE_METHOD(DoctorFixture, "the settings of a shim that runs are taken over from its own answer") {
  const component::Components components(folder / "no-runner", folder / "no-shim");
  Drain drain(folder.path());
  drain.begin("new disk");
  gpu::HostGpus gpus;
  gpus.set_sick({{"GPU-1", {.reason = "Xid 79", .since = 1}}});
  gpus.set_remarks({.hot = {"GPU-2"}, .outside = {{.gpu_id = "GPU-3", .pid = 17, .name = "Xorg", .memory = 512}}});
  Served shim;
  api::add_local_settings_route(shim.server,
                                {.home = "/data/dstack",
                                 .binary_path = "/usr/bin/dstack-shim",
                                 .runner_binary_path = "/usr/bin/dstack-runner",
                                 .http_port = 1,
                                 .runner_http_port = 2,
                                 .runner_ssh_port = 3,
                                 .engine_address = "unix:///other.sock",
                                 .pass_env = {"HTTPS_PROXY"},
                                 .allow_task_callers = true},
                                components, drain, gpus);
  shim.start();
  host.shim_port = shim.port;
  take_settings_of_running_shim(host);
  CHECK(host.sick_gpus == std::vector<std::pair<std::string, std::string>>{{"GPU-1", "Xid 79"}});
  CHECK(check_sick_gpus(host).verdict == Verdict::warning);
  CHECK(check_gpu_heat(host) == warning("1 slowed down by heat: GPU-2", check_gpu_heat(host).remedy));
  CHECK(check_gpu_memory(host).verdict == Verdict::warning);
  CHECK(check_gpu_memory(host).found == "held outside of any container: 512 MiB of GPU-3: process 17 (Xorg)");
  CHECK(host.home == "/data/dstack");
  CHECK(host.runner_binary == "/usr/bin/dstack-runner");
  CHECK(host.runner_http_port == 2);
  CHECK(host.runner_ssh_port == 3);
  CHECK(host.allow_task_callers);
  CHECK(host.shim_pid == ::getpid());
  CHECK(host.drained == "new disk");
  CHECK(check_drain(host).verdict == Verdict::warning);
  CHECK(check_drain(host).found.ends_with("\"new disk\""));
  CHECK(host.engine->address() == "unix:///other.sock");
}

TEST_CASE_METHOD(DoctorFixture, "without a shim, with an older one or with nonsense everything stays as it was") {
  const Host before = host;
  const auto is_unchanged = [this, &before] {
    take_settings_of_running_shim(host);
    return host.home == before.home && host.runner_http_port == before.runner_http_port && !host.shim_pid &&
           host.engine == before.engine && check_gpu_heat(host).verdict == Verdict::ok &&
           check_gpu_memory(host).verdict == Verdict::ok;
  };
  host.shim_port = 1;
  CHECK(is_unchanged());
  Served other;
  std::string answer;
  other.server.get("/local/settings", [&answer](const http::Request&) { return http::Response::text(200, answer); });
  other.start();
  host.shim_port = other.port;
  for (const char* text :
       {"", "[]", "not JSON", R"({"home": 5, "pid": "x", "runner_http_port": null, "engine_address": []})",
        R"({"hot_gpus": [1, {}], "outside_gpu_processes": {}, "sick_gpus": 5})"}) {
    answer = text;
    CHECK(is_unchanged());
  }
}

}  // namespace dstack::shim::doctor
