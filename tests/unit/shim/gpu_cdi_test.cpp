#include "shim/gpu/cdi.h"

#include <catch2/catch_test_macros.hpp>
#include <fstream>

#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::shim::gpu;
using shim::docker::GpuSettings;
using Names = std::vector<std::string>;

namespace {

const std::vector<Gpu> two{{.id = "GPU-a", .name = "L4"}, {.id = "GPU-b", .name = "L4"}};

GpuSettings second() { return {.nvidia_ids = {"GPU-b"}, .nvidia_capabilities = {"gpu", "display"}}; }

}  // namespace

TEST_CASE("the devices of CDI are read from YAML and JSON") {
  const test::TemporaryDirectory root;
  CHECK(cdi_devices(root.path()).empty());
  std::filesystem::create_directories(root / "etc/cdi");
  std::filesystem::create_directories(root / "var/run/cdi");
  std::ofstream(root / "etc/cdi/nvidia.yaml") << R"(---
cdiVersion: 0.5.0
containerEdits:
  hooks:
  - args:
    - nvidia-cdi-hook
    hookName: createContainer
devices:
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
  name: "0"
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
  name: GPU-a
- name: all
  containerEdits: {}
kind: nvidia.com/gpu
)";
  std::ofstream(root / "var/run/cdi/other.json") << R"({"kind": "vendor.com/net", "devices": [{"name": "x"}, {}, 5]})";
  std::ofstream(root / "var/run/cdi/broken.json") << R"({"kind": 5)";
  CHECK(cdi_devices(root.path()) ==
        Names{"nvidia.com/gpu=0", "nvidia.com/gpu=GPU-a", "nvidia.com/gpu=all", "vendor.com/net=x"});
}

TEST_CASE("GPUs are asked for by CDI under the names that are there") {
  GpuSettings settings = second();
  CHECK(use_cdi(settings, two, {"nvidia.com/gpu=0", "nvidia.com/gpu=1", "nvidia.com/gpu=GPU-b"}));
  CHECK(settings.cdi_devices == Names{"nvidia.com/gpu=GPU-b"});
  CHECK(settings.nvidia_ids.empty());
  settings = second();
  CHECK(use_cdi(settings, two, {"nvidia.com/gpu=0", "nvidia.com/gpu=1", "nvidia.com/gpu=all"}));
  CHECK(settings.cdi_devices == Names{"nvidia.com/gpu=1"});
  CHECK_FALSE(use_cdi(settings, two, {"nvidia.com/gpu=1"}));
  settings = second();
  CHECK_FALSE(use_cdi(settings, two, {"nvidia.com/gpu=0"}));
  CHECK(settings.nvidia_ids == Names{"GPU-b"});
}

TEST_CASE("an engine without NVIDIA's hook says so in one of these ways") {
  CHECK(needs_cdi("could not select device driver \"\" with capabilities: [[gpu utility compute]]"));
  CHECK(needs_cdi("CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=GPU-a"));
  CHECK_FALSE(needs_cdi("nvidia-container-cli: initialization error"));
}

TEST_CASE("a container's CDI devices tell which GPUs it has") {
  CHECK(id_of_cdi_device("nvidia.com/gpu=GPU-b", two) == "GPU-b");
  CHECK(id_of_cdi_device("nvidia.com/gpu=1", two) == "GPU-b");
  CHECK(id_of_cdi_device("GPU-b", two) == "GPU-b");
  CHECK(id_of_cdi_device("nvidia.com/gpu=7", two) == "7");
}
