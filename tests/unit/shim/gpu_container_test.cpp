// What a task's container gets of its GPUs, judged by what the engine is told: the recorded create body.

#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>
#include <format>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "shim/gpu/host_gpus.h"
#include "shim/task/task_manager.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_engine.h"

namespace dstack::shim {

namespace {

using gpu::Inventory;
using gpu::Vendor;
using nlohmann::json;
using task::TaskStatus;

constexpr const char* kUuid0 = "GPU-2b79666e-d81f-f3f8-fd47-9903f118c3f5";
constexpr const char* kUuid1 = "GPU-0781f3bb-da15-f334-d5db-37b3f19542d0";

class NoVolumes final : public volume::VolumeManager {
 public:
  void mount(const std::string&, const std::vector<volume::VolumeInfo>&, std::stop_token) override {}
  void restore(const std::string&, const std::vector<volume::VolumeInfo>&) override {}
  void unmount(const std::string&, const std::vector<volume::VolumeInfo>&, std::stop_token) override {}
};

// A shim on a host whose /dev and /proc are in a folder.
class Host {
 public:
  explicit Host(const Inventory& inventory) : inventory_(inventory) {
    std::ofstream(folder_ / "dstack-runner") << "#!/bin/sh\n";
    ::chmod((folder_ / "dstack-runner").c_str(), 0755);
    std::filesystem::create_directories(folder_ / "root/dev");
    engine.add_image("app:1");
    restart();
  }

  // Another process, which looks at the hardware anew.
  void restart() {
    process_.reset();
    process_.emplace(*this);
    process_->tasks.restore();
  }
  void file(const std::string& path, const std::string& text = "") const {
    const std::filesystem::path full = folder_ / "root" / path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full) << text;
  }
  void nvidia_device(const std::string& bus_id, const std::string& uuid, int minor) const {
    file("proc/driver/nvidia/gpus/" + bus_id + "/information",
         std::format("GPU UUID: \t {}\nDevice Minor: \t {}\n", uuid, minor));
    file(std::format("dev/nvidia{}", minor));
  }

  // Submits a task and waits until it runs or has ended.
  task::TaskInfo submit(const std::string& id, std::int64_t gpu, std::vector<docker::DeviceMapping> devices = {}) {
    process_->tasks.submit(
        {.id = id, .name = "t", .image_name = "app:1", .gpu = gpu, .gpu_devices = std::move(devices)}, {});
    while (true) {
      const task::TaskInfo info = process_->tasks.info(id);
      if (info.status == TaskStatus::running || info.status == TaskStatus::terminated) return info;
      std::this_thread::yield();
    }
  }
  void terminate(const std::string& id) { process_->tasks.terminate(id, {.reason = "terminated_by_server"}, {}); }

  std::vector<json> bodies() const {
    std::vector<json> bodies;
    for (const auto& request : engine.requests()) {
      if (request.line() == "POST /containers/create") bodies.push_back(json::parse(request.body));
    }
    return bodies;
  }
  // What the last container got that one without GPUs does not get.
  json host_config() const { return bodies().back()["HostConfig"]; }

  test::FakeEngine engine;

 private:
  struct Process {
    explicit Process(Host& host)
        : client(docker::engine_at_socket(host.engine.socket_path()), host.clock_),
          puller(client, host.clock_),
          gpus(host.inventory_, host.folder_ / "root"),
          tasks(host.folder_ / "home", {client, puller, keys, volumes, gpus},
                {.runner_binary = host.folder_ / "dstack-runner"}, host.clock_) {}

    docker::EngineClient client;
    docker::ImagePuller puller;
    host::KeyRing keys;
    NoVolumes volumes;
    gpu::HostGpus gpus;
    task::TaskManager tasks;
  };

  const Inventory inventory_;
  test::TemporaryDirectory folder_;
  test::FakeClock clock_;
  std::optional<Process> process_;
};

json device(const std::string& path) {
  return {{"PathOnHost", path}, {"PathInContainer", path}, {"CgroupPermissions", "rwm"}};
}

Inventory nvidia() {
  return {.vendor = Vendor::nvidia, .gpus = {{.id = kUuid0, .name = "L4"}, {.id = kUuid1, .name = "L4"}}};
}

void add_nvidia_nodes(const Host& host) {
  host.nvidia_device("0000:18:00.0", kUuid0, 0);
  host.nvidia_device("0000:2a:00.0", kUuid1, 1);
  for (const char* node : {"nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset"})
    host.file(std::string("dev/") + node);
}

}  // namespace

TEST_CASE("NVIDIA: a device request by UUID and the nodes beside it") {
  Host host(nvidia());
  add_nvidia_nodes(host);
  CHECK(host.submit("a", 1).gpu_ids == std::vector<std::string>{kUuid0});
  CHECK(host.host_config()["DeviceRequests"] ==
        json::array({{{"Driver", ""},
                      {"Count", 0},
                      {"DeviceIDs", {kUuid0}},
                      {"Capabilities", {{"gpu", "utility", "compute", "graphics", "video", "display", "compat32"}}}}}));
  CHECK(host.host_config()["Devices"] ==
        json::array({device("/dev/nvidia0"), device("/dev/nvidiactl"), device("/dev/nvidia-uvm"),
                     device("/dev/nvidia-uvm-tools"), device("/dev/nvidia-modeset")}));
  CHECK_FALSE(host.host_config().contains("IpcMode"));
  CHECK_FALSE(host.host_config().contains("CapAdd"));
}

TEST_CASE("NVIDIA: a start that fails for the modeset node is tried once more without display") {
  Host host(nvidia());
  add_nvidia_nodes(host);
  host.engine.on(
      "POST /containers/*",
      [](const auto& request, auto& reply) {
        if (request.path.ends_with("/start"))
          reply.error(500, "nvidia-container-cli: stat failed: /dev/nvidia-modeset: no such file");
        else
          reply.answer(201, R"({"Id": "1111"})");
      },
      2);
  const task::TaskInfo info = host.submit("a", 2);
  CHECK(info.status == TaskStatus::running);
  REQUIRE(host.bodies().size() == 2);
  CHECK(host.bodies()[0]["HostConfig"]["DeviceRequests"][0]["Capabilities"][0].size() == 7);
  CHECK(host.host_config()["DeviceRequests"][0]["Capabilities"] ==
        json{{"gpu", "utility", "compute", "graphics", "video", "compat32"}});
  CHECK(host.host_config()["DeviceRequests"][0]["DeviceIDs"] == json{kUuid0, kUuid1});
  CHECK(host.engine.count("DELETE /containers/1111") == 1);
  CHECK(host.engine.containers().size() == 1);
  CHECK(info.container_id == host.engine.containers()[0].id);
}

TEST_CASE("NVIDIA: a start that fails again without display, or for another reason, is a failure") {
  Host host(nvidia());
  add_nvidia_nodes(host);
  host.engine.on("POST /containers/*", [](const auto& request, auto& reply) {
    if (request.path.ends_with("/start"))
      reply.error(500, "stat failed: /dev/nvidia-modeset: no such file");
    else
      reply.answer(201, R"({"Id": "1111"})");
  });
  CHECK(host.submit("a", 1).termination_reason == "container_exited_with_error");
  CHECK(host.bodies().size() == 2);
  host.engine.on("POST /containers/*", [](const auto& request, auto& reply) {
    if (request.path.ends_with("/start"))
      reply.error(500, "driver/library version mismatch");
    else
      reply.answer(201, R"({"Id": "1111"})");
  });
  const std::string message = host.submit("b", 1).termination_message;
  CHECK(message.contains("version mismatch"));
  CHECK(message.contains("restart the host"));
  CHECK(host.bodies().size() == 3);
}

TEST_CASE("NVIDIA: an engine that knows GPUs by CDI only is asked by CDI, under the names that it has") {
  const char* reason = R"(could not select device driver "" with capabilities: [[gpu utility compute]])";
  Host host(nvidia());
  add_nvidia_nodes(host);
  SECTION("which the engine tells") {
    host.engine.on("GET /info", [](const auto&, auto& reply) {
      reply.answer(200, R"({"DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"},
                            {"Source": "cdi", "ID": "nvidia.com/gpu=1"}, {"Source": "cdi", "ID": "nvidia.com/gpu=all"}]})");
    });
  }
  SECTION("which its files tell") {
    host.file("etc/cdi/nvidia.yaml", "kind: nvidia.com/gpu\ndevices:\n- name: \"0\"\n- name: \"1\"\n");
  }
  host.engine.on(
      "POST /containers/*",
      [reason](const auto& request, auto& reply) {
        if (request.path.ends_with("/start"))
          reply.error(500, reason);
        else
          reply.answer(201, R"({"Id": "1111"})");
      },
      2);
  CHECK(host.submit("a", 2).status == TaskStatus::running);
  REQUIRE(host.bodies().size() == 2);
  CHECK(host.host_config()["DeviceRequests"] ==
        json::array({{{"Driver", "cdi"}, {"DeviceIDs", {"nvidia.com/gpu=0", "nvidia.com/gpu=1"}}}}));
  CHECK(host.host_config()["Devices"][0] == device("/dev/nvidia0"));
}

TEST_CASE("NVIDIA: an engine that knows no GPUs at all is a failure with its own words") {
  Host host(nvidia());
  host.engine.on("POST /containers/*", [](const auto& request, auto& reply) {
    if (request.path.ends_with("/start"))
      reply.error(500, "could not select device driver \"\" with capabilities: [[gpu]]");
    else
      reply.answer(201, R"({"Id": "1111"})");
  });
  CHECK(host.submit("a", 1).termination_message.contains("could not select device driver"));
  CHECK(host.bodies().size() == 1);
}

TEST_CASE("AMD: kfd and the render nodes, the host's memory segments, tracing") {
  Host host({.vendor = Vendor::amd, .gpus = {{.id = "/dev/dri/renderD128"}, {.id = "/dev/dri/renderD129"}}});
  host.submit("a", -1);
  const json config = host.host_config();
  CHECK(config["Devices"] ==
        json::array({device("/dev/kfd"), device("/dev/dri/renderD128"), device("/dev/dri/renderD129")}));
  CHECK(config["IpcMode"] == "host");
  CHECK(config["CapAdd"] == json::array({"SYS_PTRACE"}));
  CHECK(config["SecurityOpt"] == json::array({"seccomp=unconfined"}));
  CHECK_FALSE(config.contains("DeviceRequests"));
}

TEST_CASE("Intel: Habana's runtime, the host's memory segments, priorities, indices") {
  Host host({.vendor = Vendor::intel, .gpus = {{.id = "0"}, {.id = "1"}, {.id = "2"}}});
  host.submit("a", 2);
  CHECK(host.host_config()["Runtime"] == "habana");
  CHECK(host.host_config()["IpcMode"] == "host");
  CHECK(host.host_config()["CapAdd"] == json::array({"SYS_NICE"}));
  CHECK(host.bodies().back()["Env"] == json::array({"HABANA_VISIBLE_DEVICES=0,1"}));
  CHECK_FALSE(host.host_config().contains("Devices"));
}

TEST_CASE("Tenstorrent: nodes by index, and huge pages where there are any") {
  Host host({.vendor = Vendor::tenstorrent, .gpus = {{.id = "0"}, {.id = "1"}}});
  host.submit("a", 1);
  CHECK(host.host_config()["Devices"] == json::array({device("/dev/tenstorrent/0")}));
  const std::size_t mounts = host.host_config()["Mounts"].size();
  host.file("dev/hugepages-1G/x");
  host.submit("b", 1);
  CHECK(host.host_config()["Devices"] == json::array({device("/dev/tenstorrent/1")}));
  REQUIRE(host.host_config()["Mounts"].size() == mounts + 1);
  CHECK(host.host_config()["Mounts"].back() ==
        json{{"Type", "bind"}, {"Source", "/dev/hugepages-1G"}, {"Target", "/dev/hugepages-1G"}, {"ReadOnly", false}});
}

TEST_CASE("a task of no GPU gets nothing of any vendor") {
  Host host(nvidia());
  add_nvidia_nodes(host);
  CHECK(host.submit("a", 0).gpu_ids->empty());
  for (const char* field : {"DeviceRequests", "Devices", "Runtime", "IpcMode", "CapAdd", "SecurityOpt"}) {
    CHECK_FALSE(host.host_config().contains(field));
  }
}

TEST_CASE("devices that a task names are the only ones it gets") {
  Host host(nvidia());
  add_nvidia_nodes(host);
  host.submit("a", 1, {{.path_on_host = "/dev/nvidia7", .path_in_container = "/dev/nvidia0"}});
  CHECK_FALSE(host.host_config().contains("DeviceRequests"));
  CHECK(host.host_config()["Devices"] ==
        json::array(
            {{{"PathOnHost", "/dev/nvidia7"}, {"PathInContainer", "/dev/nvidia0"}, {"CgroupPermissions", "rwm"}}}));
}

TEST_CASE("a task that names its devices holds GPUs as any other") {
  Host host(nvidia());
  const std::vector<docker::DeviceMapping> devices{{.path_on_host = "/dev/null", .path_in_container = "/dev/nvidia0"}};
  CHECK(host.submit("a", -1, devices).gpu_ids == std::vector<std::string>{kUuid0, kUuid1});
  CHECK(host.submit("b", -1, devices).gpu_ids->empty());
  CHECK(host.submit("c", 1).status == TaskStatus::terminated);
}

TEST_CASE("too few GPUs end a task before its container is made") {
  Host host(nvidia());
  const task::TaskInfo info = host.submit("a", 3);
  CHECK(info.termination_reason == "executor_error");
  CHECK(info.termination_message.contains("3 wanted, 2 of 2 free"));
  CHECK(host.bodies().empty());
  CHECK(host.submit("b", 2).status == TaskStatus::running);
}

TEST_CASE("GPUs belong to one task until it has ended, across restarts too") {
  Host host(nvidia());
  CHECK(host.submit("a", 1).gpu_ids == std::vector<std::string>{kUuid0});
  host.restart();
  CHECK(host.submit("b", -1).gpu_ids == std::vector<std::string>{kUuid1});
  host.restart();
  CHECK(host.submit("c", 1).status == TaskStatus::terminated);
  host.terminate("a");
  CHECK(host.submit("d", 1).gpu_ids == std::vector<std::string>{kUuid0});
  host.restart();
  CHECK(host.submit("e", 1).status == TaskStatus::terminated);
}

}  // namespace dstack::shim
