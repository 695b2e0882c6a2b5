#include "shim/gpu/detect.h"

#include <catch2/catch_test_macros.hpp>
#include <format>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/fake_clock.h"
#include "tests/support/fake_engine.h"
#include "tests/support/fake_tools.h"
#include "tests/support/no_more_threads.h"

using namespace dstack;
using namespace dstack::shim;
using namespace std::chrono_literals;
using shim::gpu::Inventory;
using shim::gpu::Vendor;

namespace {

constexpr const char* kAmdImage = "dstackai/amd-smi:latest";
constexpr const char* kAmdAnswer = R"([{"gpu": 0, "asic": {"market_name": "MI300X"}, "bus": {"bdf": "0000:05:00.0"},
  "vram": {"size": {"value": 196592, "unit": "MB"}}, "driver": {"version": "6.10.5"}}])";

struct Fixture {
  test::FakeEngine engine;
  test::FakeClock clock;
  docker::EngineClient client{docker::engine_at_socket(engine.socket_path()), clock};
  docker::ImagePuller puller{client, clock};
  test::TemporaryDirectory root;

  void file(const std::string& path, const std::string& text = "") const {
    std::filesystem::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text;
  }
  void amd_host() {
    file("dev/kfd");
    file("dev/dri/renderD128");
    std::filesystem::create_directories(root / "dev/dri/by-path");
    std::filesystem::create_symlink("../renderD128", root / "dev/dri/by-path/pci-0000:05:00.0-render");
    engine.add_image(kAmdImage);
  }
  Inventory detect() { return shim::gpu::detect(client, puller, root.path(), clock); }
  // The bodies of the containers that were made.
  std::vector<nlohmann::json> bodies() const {
    std::vector<nlohmann::json> bodies;
    for (const auto& request : engine.requests()) {
      if (request.line() == "POST /containers/create") bodies.push_back(nlohmann::json::parse(request.body));
    }
    return bodies;
  }
  static test::FakeEngine::Outcome says(std::string output, int exit_code = 0) {
    return {.exit_code = exit_code, .output = std::move(output), .errors = "some warning\n"};
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a host without device nodes has no GPU and nothing is run") {
  const Inventory inventory = detect();
  CHECK(inventory.vendor == Vendor::none);
  CHECK(inventory.gpus.empty());
  CHECK(engine.requests().empty());
}

TEST_CASE_METHOD(Fixture, "NVIDIA's GPUs are found without the engine") {
  test::FakeTools tools;
  file("dev/nvidiactl");
  tools.prints("nvidia-smi", "NVIDIA L4, 23034, GPU-2b79666e-d81f-f3f8-fd47-9903f118c3f5, 550.54.15\n");
  const Inventory inventory = detect();
  CHECK(inventory.vendor == Vendor::nvidia);
  CHECK(inventory.gpus.size() == 1);
  CHECK(inventory.driver_version == "550.54.15");
  CHECK(engine.requests().empty());
}

TEST_CASE_METHOD(Fixture, "a host whose tool is absent or names no GPU counts as having none, and the reason is kept") {
  test::FakeTools tools;
  file("dev/nvidiactl");
  tools.prints("nvidia-smi", "nonsense\n", 9);
  CHECK(detect().vendor == Vendor::none);
  CHECK(detect().failure.contains("nonsense"));
  tools.prints("nvidia-smi", "");
  CHECK(detect().vendor == Vendor::none);
  tools.hide_all_others();
  std::filesystem::remove(tools.state().parent_path() / "bin/nvidia-smi");
  CHECK(detect().vendor == Vendor::none);
}

TEST_CASE_METHOD(Fixture, "a tool that hangs is given up on after a minute") {
  test::FakeTools tools;
  for (const auto& [node, tool] : {std::pair("dev/nvidiactl", "nvidia-smi"), std::pair("dev/accel/accel0", "hl-smi")}) {
    std::filesystem::remove_all(root / "dev");
    file(node);
    tools.add(tool, "exec sleep 1000");
    std::jthread caller([this] { CHECK(detect().vendor == Vendor::none); });
    while (tools.calls(tool) == 0) std::this_thread::yield();
    clock.await_deadline_within(60s);
    clock.advance(60s);
    caller.join();
  }
}

TEST_CASE_METHOD(Fixture, "Gaudi accelerators are found by hl-smi") {
  test::FakeTools tools;
  file("dev/accel/accel0");
  tools.prints("hl-smi", "HL-225, 98304, 0\n");
  CHECK(detect().vendor == Vendor::intel);
  CHECK(tools.last_arguments("hl-smi") == "--query-aip=name,memory.total,index --format=csv,noheader,nounits");
}

TEST_CASE_METHOD(Fixture, "AMD's GPUs are found by a container that is gone afterwards") {
  amd_host();
  engine.on_start([](const std::string&) { return says(kAmdAnswer); });
  const Inventory inventory = detect();
  CHECK(inventory.vendor == Vendor::amd);
  CHECK(inventory.driver_version == "6.10.5");
  REQUIRE(inventory.gpus.size() == 1);
  CHECK(inventory.gpus[0] == shim::gpu::Gpu{.id = "/dev/dri/renderD128", .name = "MI300X", .memory = 196592});
  REQUIRE(bodies().size() == 1);
  const nlohmann::json body = bodies()[0];
  CHECK(body["Image"] == kAmdImage);
  CHECK(body["Cmd"] == nlohmann::json{"static", "--json", "--asic", "--vram", "--bus", "--driver"});
  CHECK_FALSE(body.contains("Entrypoint"));
  CHECK(body["HostConfig"]["Devices"] ==
        nlohmann::json::array(
            {{{"PathOnHost", "/dev/kfd"}, {"PathInContainer", "/dev/kfd"}, {"CgroupPermissions", "rwm"}},
             {{"PathOnHost", "/dev/dri"}, {"PathInContainer", "/dev/dri"}, {"CgroupPermissions", "rwm"}}}));
  CHECK(engine.containers().empty());
  CHECK(engine.count("POST /images/create") == 0);
}

TEST_CASE_METHOD(Fixture, "an amd-smi that does not know --driver is asked again without") {
  amd_host();
  engine.on_start([](const std::string& body) {
    return body.contains("--driver") ? says("unrecognized arguments", 2)
                                     : says(R"([{"bus": {"bdf": "0000:05:00.0"}}])");
  });
  CHECK(detect().gpus.size() == 1);
  REQUIRE(bodies().size() == 2);
  CHECK(bodies()[1]["Cmd"] == nlohmann::json{"static", "--json", "--asic", "--vram", "--bus"});
  CHECK(engine.containers().empty());
}

TEST_CASE_METHOD(Fixture, "an amd-smi that fails twice is not asked a third time, and the GPUs that it names count") {
  amd_host();
  engine.on_start([](const std::string&) { return says(kAmdAnswer, 1); });
  const Inventory inventory = detect();
  CHECK(inventory.gpus.size() == 1);
  CHECK(inventory.driver_version == "6.10.5");
  CHECK(bodies().size() == 2);
  CHECK(engine.containers().empty());
}

TEST_CASE_METHOD(Fixture, "the tool's image is pulled if it is not there") {
  amd_host();
  engine.on("GET /images/*", [](const auto&, auto& reply) { reply.error(404, "no such image"); }, 1);
  engine.on_start([](const std::string&) { return says(kAmdAnswer); });
  CHECK(detect().gpus.size() == 1);
  CHECK(engine.count("POST /images/create") == 1);
}

TEST_CASE_METHOD(Fixture, "a tool container that hangs is removed after two minutes") {
  amd_host();
  Inventory inventory{.vendor = Vendor::amd};
  std::jthread detection([&] { inventory = detect(); });
  engine.await("POST /containers/*", 3);  // create, start, wait
  clock.advance(119s);
  CHECK(engine.containers().size() == 1);
  clock.advance(2s);
  detection.join();
  CHECK(inventory.vendor == Vendor::none);
  CHECK(engine.containers().empty());
}

TEST_CASE_METHOD(Fixture, "an engine that is away means no GPU, not no shim") {
  amd_host();
  engine.die();
  CHECK(detect().vendor == Vendor::none);
}

TEST_CASE_METHOD(Fixture, "Tenstorrent's boards are found by a container, their driver by its module") {
  file("dev/tenstorrent/0");
  file("sys/module/tenstorrent/version", "2.0.0\n");
  engine.add_image("dstackai/tt-smi:latest");
  engine.on_start([](const std::string&) {
    return says(
        R"({"device_info": [{"board_info": {"board_type": "n150 L", "board_id": "1", "bus_id": "0000:01:00.0"}}]})");
  });
  const Inventory inventory = detect();
  CHECK(inventory.vendor == Vendor::tenstorrent);
  CHECK(inventory.driver_version == "2.0.0");
  CHECK(inventory.gpus.at(0).name == "n150");
  const nlohmann::json body = bodies().at(0);
  CHECK(body["Image"] == "dstackai/tt-smi:latest");
  CHECK(body["Cmd"] == nlohmann::json::array({"-s"}));
  CHECK(body["HostConfig"]["Devices"][0]["PathOnHost"] == "/dev/tenstorrent");
}

TEST_CASE_METHOD(Fixture, "a board of Tenstorrent beyond the device nodes cannot be handed out") {
  file("dev/tenstorrent/0");
  engine.add_image("dstackai/tt-smi:latest");
  engine.on_start([](const std::string&) {
    const char* board = R"({"board_info": {"board_type": "n150 L", "board_id": "1", "bus_id": "0000:01:00.0"}})";
    return says(std::format(R"({{"device_info": [{0}, {0}, {0}]}})", board), 1);
  });
  CHECK(detect().gpus.size() == 1);
}

TEST_CASE_METHOD(Fixture, "what a killed process left of such containers is removed") {
  amd_host();
  engine.on_start([](const std::string&) { return says(kAmdAnswer); });
  client.create("dstack-shim-tool-0", {{"Image", kAmdImage},
                                       {"Labels", {{"ai.dstack.shim.tool", "true"}}},
                                       {"HostConfig", {{"Mounts", nlohmann::json::array()}}}});
  detect();
  CHECK(engine.containers().empty());
}

TEST_CASE_METHOD(Fixture, "GPUs are not called absent while no thread can be made to look for them") {
  if (!test::NoMoreThreads::possible()) return;
  amd_host();
  std::optional<ErrorKind> failure;
  {
    const test::NoMoreThreads limit;
    try {
      detect();
    } catch (const std::exception& error) {
      failure = error_kind(error);
    }
  }
  CHECK(failure == ErrorKind::exhausted);
}
