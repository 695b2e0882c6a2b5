#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "common/error.h"
#include "shim/gpu/host_gpus.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::shim::gpu;
using Ids = std::vector<std::string>;

namespace {

Inventory four(Vendor vendor = Vendor::tenstorrent) {
  Inventory inventory{.vendor = vendor, .driver_version = "2.0.0"};
  for (const char* id : {"0", "1", "2", "3"}) inventory.gpus.push_back({.id = id, .name = "n150", .memory = 12288});
  return inventory;
}

}  // namespace

TEST_CASE("GPUs are taken in the host's order and are nobody else's then") {
  HostGpus gpus(four());
  CHECK(gpus.take(1, {}) == Ids{"0"});
  CHECK(gpus.take(2, {}) == Ids{"1", "2"});
  gpus.give_back({"0"});
  CHECK(gpus.take(2, {}) == Ids{"0", "3"});
  CHECK(gpus.counts().free == 0);
  CHECK(gpus.counts().taken == 4);
}

TEST_CASE("too few free GPUs are refused and none is taken") {
  HostGpus gpus(four());
  gpus.take(3, {});
  try {
    gpus.take(2, {});
    FAIL("taken");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::conflict);
    CHECK(std::string(error.what()) == "not enough GPUs: 2 wanted, 1 of 4 free");
  }
  CHECK(gpus.counts().free == 1);
}

TEST_CASE("all GPUs means all that are free, even none") {
  HostGpus gpus(four());
  gpus.take(1, {});
  CHECK(gpus.take(-1, {}) == Ids{"1", "2", "3"});
  CHECK(gpus.take(-1, {}).empty());
  HostGpus none{Inventory{}};
  CHECK(none.take(-1, {}).empty());
  CHECK(none.take(0, {}).empty());
  CHECK_THROWS_AS(none.take(1, {}), Error);
}

TEST_CASE("GPUs of a running task are its own after a restart") {
  HostGpus gpus(four());
  gpus.restore({"1", "2"});
  CHECK(gpus.take(-1, {}) == Ids{"0", "3"});
  gpus.give_back({"1", "2"});
  gpus.give_back({"1", "2"});
  CHECK(gpus.take(-1, {}) == Ids{"1", "2"});
}

TEST_CASE("a GPU that a task has and the host has not any more is no trouble") {
  HostGpus gpus(four());
  gpus.restore({"9"});
  CHECK(gpus.counts().free == 4);
  CHECK(gpus.counts().taken == 0);
  gpus.give_back({"9"});
  CHECK(gpus.take(4, {}).size() == 4);
}

TEST_CASE("of many that take at once nobody gets what another has") {
  Inventory inventory;
  for (int i = 0; i < 64; ++i) inventory.gpus.push_back({.id = std::to_string(i), .name = "x"});
  HostGpus gpus(inventory);
  std::vector<Ids> taken(16);
  {
    std::vector<std::jthread> takers;
    for (Ids& mine : taken) takers.emplace_back([&] { mine = gpus.take(4, {}); });
  }
  std::set<std::string> all;
  for (const Ids& mine : taken) all.insert(mine.begin(), mine.end());
  CHECK(all.size() == 64);
}

TEST_CASE("which GPUs a container has is told by what it was made with") {
  const auto ids_of = [](Vendor vendor, const std::vector<Gpu>& known,
                         const shim::docker::ContainerDetails& container) {
    return HostGpus({.vendor = vendor, .gpus = known}).ids_of(container);
  };
  CHECK(ids_of(Vendor::nvidia, {{.id = "GPU-a"}, {.id = "GPU-b"}}, {.device_requests = {{"GPU-b"}}}) == Ids{"GPU-b"});
  CHECK(ids_of(Vendor::amd, {{.id = "/dev/dri/renderD128"}}, {.devices = {"/dev/kfd", "/dev/dri/renderD128"}}) ==
        Ids{"/dev/dri/renderD128"});
  CHECK(ids_of(Vendor::tenstorrent, {{.id = "0"}, {.id = "1"}}, {.devices = {"/dev/tenstorrent/1"}}) == Ids{"1"});
  CHECK(ids_of(Vendor::intel, {{.id = "0"}, {.id = "1"}}, {.environment = {"A=0", "HABANA_VISIBLE_DEVICES=0,1,7"}}) ==
        Ids{"0", "1"});
  CHECK(ids_of(Vendor::none, {}, {.devices = {"/dev/dri/renderD128"}}).empty());
}

TEST_CASE("a task that wants a GPU is told why this host has none") {
  HostGpus gpus({.failure = "nvidia-smi names no GPU: Driver/library version mismatch"});
  CHECK_THROWS_WITH(gpus.take(1, {}), Catch::Matchers::ContainsSubstring("Driver/library version mismatch"));
  CHECK(gpus.take(-1, {}).empty());
}

TEST_CASE("whoever wants GPUs that are not known yet waits, and can be stopped") {
  HostGpus gpus;
  CHECK_FALSE(gpus.known());
  CHECK(gpus.inventory() == nullptr);
  Ids taken;
  std::jthread waiting([&] { taken = gpus.take(2, {}); });
  std::jthread stopped([&](const std::stop_token& stop) { CHECK_THROWS_AS(gpus.take(1, stop), Error); });
  stopped.request_stop();
  stopped.join();
  gpus.restore({"0"});
  gpus.learn(four());
  waiting.join();
  CHECK(taken == Ids{"1", "2"});
  CHECK(gpus.known());
  CHECK(gpus.counts().taken == 3);
  gpus.give_back({"0"});
  CHECK(gpus.take(-1, {}) == Ids{"0", "3"});
}

TEST_CASE("GPUs of a container without a journal are not handed out, also if they were not known when it was found") {
  HostGpus gpus(std::filesystem::path("/nowhere"));
  const Ids ids = gpus.ids_of({.device_requests = {{"GPU-4a2f", "nvidia.com/gpu=1"}}});
  CHECK(ids == Ids{"GPU-4a2f", "nvidia.com/gpu=1"});
  gpus.restore(ids);
  gpus.learn({.vendor = Vendor::nvidia, .gpus = {{.id = "GPU-4a2f"}, {.id = "GPU-5b30"}, {.id = "GPU-6c41"}}});
  CHECK(gpus.take(-1, {}) == Ids{"GPU-6c41"});
  gpus.give_back(ids);
  CHECK(gpus.take(-1, {}) == Ids{"GPU-4a2f", "GPU-5b30"});
}

TEST_CASE("a container's GPUs are told by their shape and the host's vendor as long as they are not known") {
  const auto ids_of = [](const char* node, const shim::docker::ContainerDetails& container) {
    test::TemporaryDirectory root;
    std::filesystem::create_directories((root / node).parent_path());
    std::ofstream(root / node) << "";
    return HostGpus(root.path()).ids_of(container);
  };
  const shim::docker::ContainerDetails container{
      .environment = {"HABANA_VISIBLE_DEVICES=0,7"},
      .devices = {"/dev/kfd", "/dev/dri/renderD128", "/dev/tenstorrent/1", "/dev/infiniband/uverbs0"}};
  CHECK(ids_of("dev/kfd", container) == Ids{"/dev/dri/renderD128"});
  CHECK(ids_of("dev/tenstorrent/0", container) == Ids{"1"});
  CHECK(ids_of("dev/accel/accel0", container) == Ids{"0", "7"});
  CHECK(ids_of("dev/null", container).empty());
}
