#include "shim/gpu/nvidia.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <format>
#include <fstream>

#include "common/error.h"
#include "shim/gpu/tool_output.h"
#include "tests/support/fake_tools.h"

using namespace dstack;
using namespace dstack::shim::gpu;
using shim::docker::GpuSettings;

namespace {

constexpr const char* kUuid0 = "GPU-2b79666e-d81f-f3f8-fd47-9903f118c3f5";
constexpr const char* kUuid1 = "GPU-0781f3bb-da15-f334-d5db-37b3f19542d0";

// What the driver writes of a device that nobody has used yet.
std::string unknown_uuid() {
  std::string uuid = kUuid0;
  for (std::size_t i = 4; i < uuid.size(); ++i) {
    if (uuid[i] != '-') uuid[i] = '?';
  }
  return uuid;
}

// What the driver says of one device.
std::string information(const std::string& uuid, int minor) {
  return std::format(
      "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 330\nGPU UUID: \t {}\nVideo BIOS: \t 96.00.74.00.01\n"
      "Bus Type: \t PCIe\nDMA Size: \t 52 bits\nBus Location: \t 0000:18:00.0\nDevice Minor: \t {}\n"
      "GPU Firmware: \t 535.104.05\nGPU Excluded:\t No\n",
      uuid, minor);
}

// /dev and /proc of a host.
struct Host {
  test::TemporaryDirectory root;

  void file(const std::string& path, const std::string& text = "") const {
    std::filesystem::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text;
  }
  void device(const std::string& bus_id, const std::string& uuid, int minor) const {
    file("proc/driver/nvidia/gpus/" + bus_id + "/information", information(uuid, minor));
    file(std::format("dev/nvidia{}", minor));
  }
  void control_nodes() const {
    for (const char* node : {"nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset"})
      file(std::string("dev/") + node);
  }
};

std::vector<std::string> paths(const GpuSettings& settings) {
  std::vector<std::string> paths;
  for (const auto& device : settings.devices) {
    CHECK(device.path_on_host == device.path_in_container);
    paths.push_back(device.path_on_host);
  }
  return paths;
}

const std::vector<Gpu> two{{.id = kUuid0, .name = "H100", .memory = 81559},
                           {.id = kUuid1, .name = "H100", .memory = 81559}};

}  // namespace

TEST_CASE("nvidia-smi of every driver generation is understood") {
  struct Sample {
    const char* output;
    std::size_t count;
    const char* name;
    std::int64_t memory;
    const char* driver;
  };
  const Sample samples[] = {
      {"Tesla K80, 11441, GPU-5af39ea5-c7f5-a3c5-ad4d-9f6c4eb8c1a9, 418.87.01\n", 1, "Tesla K80", 11441, "418.87.01"},
      {"Tesla T4, 15109, GPU-0781f3bb-da15-f334-d5db-37b3f19542d0, 470.57.02\n", 1, "Tesla T4", 15109, "470.57.02"},
      {"NVIDIA A100-SXM4-80GB, 81251, GPU-2b79666e-d81f-f3f8-fd47-9903f118c3f5, 525.105.17\n"
       "NVIDIA A100-SXM4-80GB, 81251, GPU-41cc2907-3249-5a6b-f0e4-d04063b183a9, 525.105.17\n",
       2, "NVIDIA A100-SXM4-80GB", 81251, "525.105.17"},
      {"NVIDIA H100 80GB HBM3, 81559, GPU-cc8e8c03-ebaa-f217-8e4c-d9cd98e20aed, 570.86.15\r\n", 1,
       "NVIDIA H100 80GB HBM3", 81559, "570.86.15"},
      {"NVIDIA B200, 183359, GPU-fb615fb7-3f5a-5600-0ab1-debad8dc80ee, 580.65.06\n", 1, "NVIDIA B200", 183359,
       "580.65.06"},
      // Units in spite of nounits, and blank lines.
      {"\nNVIDIA L4, 23034 MiB, GPU-fb615fb7-3f5a-5600-0ab1-debad8dc80ee, 550.54.15\n\n", 1, "NVIDIA L4", 23034,
       "550.54.15"},
      {"NVIDIA L4, 22 GiB, GPU-fb615fb7-3f5a-5600-0ab1-debad8dc80ee, 550.54.15", 1, "NVIDIA L4", 22528, "550.54.15"},
  };
  for (const Sample& sample : samples) {
    INFO(sample.output);
    const Inventory inventory = parse_nvidia_smi(sample.output);
    CHECK(inventory.vendor == Vendor::nvidia);
    REQUIRE(inventory.gpus.size() == sample.count);
    CHECK(inventory.gpus[0].name == sample.name);
    CHECK(inventory.gpus[0].memory == sample.memory);
    CHECK(inventory.gpus[0].id.starts_with("GPU-"));
    CHECK(inventory.driver_version == sample.driver);
  }
}

TEST_CASE("a GPU whose memory or driver is not known is a GPU") {
  for (const char* unknown : {"[N/A]", "N/A", "[Not Supported]", "", "many", "[GPU is lost]"}) {
    const Inventory inventory =
        parse_nvidia_smi(std::format("NVIDIA L4, {}, {}, {}\n", unknown, kUuid0, "[Not Supported]"), 122880);
    REQUIRE(inventory.gpus.size() == 1);
    CHECK(inventory.gpus[0].memory == 0);
    CHECK(inventory.driver_version.empty());
  }
}

TEST_CASE("a GPU without memory of its own has the machine's") {
  test::FakeTools tools;
  Host host;
  host.file("dev/nvidiactl");
  host.file("proc/meminfo", "MemFree:         1024 kB\nMemTotal:       125829120 kB\n");
  for (const char* name : {"NVIDIA GB10", "NVIDIA Thor", "Orin (nvgpu)"}) {
    tools.prints("nvidia-smi", std::format("{}, [N/A], {}, 580.95.05\n", name, kUuid0));
    CHECK(detect_nvidia(host.root.path()).gpus == std::vector<Gpu>{{.id = kUuid0, .name = name, .memory = 122880}});
  }
  tools.prints("nvidia-smi", std::format("NVIDIA GB10, 8128, {}, 580.95.05\n", kUuid0));
  CHECK(detect_nvidia(host.root.path()).gpus.at(0).memory == 8128);
}

TEST_CASE("placeholders are not values") {
  for (const char* text : {"N/A", "[N/A]", "n/a", "Unknown", "[Unknown]", "[Not Supported]", "[Not Available]",
                           "[Unknown Error]", "ERR!", " \n", ""}) {
    CHECK(known_value(text).empty());
  }
  CHECK(known_value(" 570.86.15 \n") == "570.86.15");
}

TEST_CASE("a line that is not a GPU costs only that line") {
  const std::string first = std::format("NVIDIA L4, 23034, {}, 550.54.15\n", kUuid0);
  const std::string second = std::format("NVIDIA L40S, 46068, {}, 550.54.15\n", kUuid1);
  const std::vector<Gpu> both{{.id = kUuid0, .name = "NVIDIA L4", .memory = 23034},
                              {.id = kUuid1, .name = "NVIDIA L40S", .memory = 46068}};
  for (const std::string& line : {
           std::string("WARNING: infoROM is corrupted at gpu 0000:3B:00.0\n"),
           std::string("Unable to determine the device handle for GPU0000:3B:00.0: GPU is lost.  Reboot the system to "
                       "recover this GPU\n"),
           std::string("[GPU is lost], [GPU is lost], [GPU is lost], [GPU is lost]\n"),
           std::string("[Unknown Error], [Unknown Error], [Unknown Error], 550.54.15\n"),
           std::string("name, memory.total [MiB], uuid, driver_version\n"),
           std::string("nom, mémoire.totale [Mio], uuid, version_pilote\n"),
           std::string("NVIDIA L4, 23034, 550.54.15\n"),
           std::string("Warning: persistence mode, which is off, makes this slow, as of 550.54.15\n"),
           std::string(", , ,\n"),
           std::string("\0\0\0\1\2\n", 6),
           first,
       }) {
    INFO(line);
    CHECK(parse_nvidia_smi(line + first + second).gpus.size() == 2);
    CHECK(parse_nvidia_smi(first + line + second).gpus == both);
    CHECK(parse_nvidia_smi(first + second + line).gpus == both);
  }
}

TEST_CASE("an id is taken as it is printed, and a name may have commas") {
  const Inventory inventory = parse_nvidia_smi(
      "NVIDIA A100, PCIe, 40 GB, 40960, GPU-a, 550.54.15\n"
      "NVIDIA H100 MIG 1g.10gb, 9856, MIG-6f3e8cf5-7d5a, 550.54.15\n"
      "NVIDIA B300, 275040, 0x1a2b3c, 580.65.06\n"
      "NVIDIA L4, 23034, GPU-no-driver\n"
      "[Unknown Error], [Unknown Error], GPU-lost, [Unknown Error]\n");
  CHECK(inventory.gpus ==
        std::vector<Gpu>{{.id = "GPU-a", .name = "NVIDIA A100, PCIe, 40 GB", .memory = 40960},
                         {.id = "MIG-6f3e8cf5-7d5a", .name = "NVIDIA H100 MIG 1g.10gb", .memory = 9856},
                         {.id = "0x1a2b3c", .name = "NVIDIA B300", .memory = 275040},
                         {.id = "GPU-no-driver", .name = "NVIDIA L4", .memory = 23034},
                         {.id = "GPU-lost", .name = "", .memory = 0}});
}

TEST_CASE("the name and the memory of a host's GPUs are those of the first that has them") {
  const Inventory inventory = parse_nvidia_smi(
      "[Unknown Error], [Unknown Error], GPU-lost, [Unknown Error]\nNVIDIA L4, 23034, GPU-b, 550.54.15\n");
  CHECK(name_of_gpus(inventory) == "NVIDIA L4");
  CHECK(memory_of_gpus(inventory) == 23034);
  CHECK(inventory.driver_version == "550.54.15");
}

TEST_CASE("an answer without a GPU has none") {
  for (const char* output : {"", "\n\n", "No devices were found\n",
                             "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n",
                             "NVIDIA L4, 23034, GPU-, 1\n"}) {
    CHECK(parse_nvidia_smi(output).gpus.empty());
  }
  std::string lines;
  for (int i = 0; i < 100'000; ++i) lines += "x\n";
  CHECK(parse_nvidia_smi(lines + std::format("NVIDIA L4, 23034, {}, 550.54.15\n", kUuid0)).gpus.size() == 1);
}

TEST_CASE("nvidia-smi is asked for exactly what is needed") {
  test::FakeTools tools;
  Host host;
  tools.prints("nvidia-smi", std::format("NVIDIA L4, 23034, {}, 550.54.15\n", kUuid0));
  CHECK(detect_nvidia(host.root.path()).gpus.size() == 1);
  CHECK(tools.calls("nvidia-smi") == 1);
  CHECK(tools.last_arguments("nvidia-smi") ==
        "--query-gpu=name,memory.total,uuid,driver_version --format=csv,noheader,nounits");
}

TEST_CASE("a tool that named its GPUs and ended with an error is believed") {
  test::FakeTools tools;
  Host host;
  tools.prints("nvidia-smi", std::format("NVIDIA L4, 23034, {}, 550.54.15\n", kUuid0), 15);
  CHECK(detect_nvidia(host.root.path()).gpus.size() == 1);
}

TEST_CASE("a tool that names no GPU, or is absent, is an error that says what it printed") {
  test::FakeTools tools;
  Host host;
  tools.prints("nvidia-smi", "Failed to initialize NVML: Driver/library version mismatch\n", 18);
  CHECK_THROWS_WITH(detect_nvidia(host.root.path()), Catch::Matchers::ContainsSubstring("status 18") &&
                                                         Catch::Matchers::ContainsSubstring("version mismatch"));
  tools.prints("nvidia-smi", "No devices were found\n");
  CHECK_THROWS_AS(detect_nvidia(host.root.path()), Error);
  tools.add("nvidia-smi", "yes x | head -c 8000000");
  CHECK_THROWS_AS(detect_nvidia(host.root.path()), Error);
  tools.hide_all_others();
  std::filesystem::remove(tools.state().parent_path() / "bin/nvidia-smi");
  CHECK_THROWS_AS(detect_nvidia(host.root.path()), Error);
}

TEST_CASE("on WSL the tool is the one beside the library, not the one on PATH") {
  test::FakeTools tools;
  Host host;
  host.file("dev/dxg");
  host.file("usr/lib/wsl/lib/nvidia-smi",
            std::format("#!/bin/sh\necho 'NVIDIA RTX 4090, 24564, {}, 560.94'\n", kUuid0));
  std::filesystem::permissions(host.root / "usr/lib/wsl/lib/nvidia-smi", std::filesystem::perms::owner_all);
  tools.prints("nvidia-smi", "couldn't communicate with the NVIDIA driver\n", 9);
  CHECK(detect_nvidia(host.root.path()).gpus.at(0).name == "NVIDIA RTX 4090");
  CHECK(tools.calls("nvidia-smi") == 0);
}

TEST_CASE("the driver's own file tells a device's UUID and minor number") {
  const NvidiaDevice device = parse_nvidia_information(information(kUuid0, 3));
  CHECK(device.uuid == kUuid0);
  CHECK(device.minor == 3);
  CHECK(parse_nvidia_information(information(unknown_uuid(), 0)).uuid.empty());
  CHECK(parse_nvidia_information("").minor == -1);
  CHECK(parse_nvidia_information("Device Minor: \t -1\nGPU UUID:\n").minor == -1);
  CHECK(parse_nvidia_information("Device Minor: 1x\n").minor == -1);
}

TEST_CASE("a container gets its GPUs by UUID and their nodes as plain devices") {
  Host host;
  host.control_nodes();
  host.device("0000:18:00.0", kUuid1, 0);  // the order of minors is not that of nvidia-smi
  host.device("0000:2a:00.0", kUuid0, 1);
  const GpuSettings settings = nvidia_settings(two, {kUuid0}, host.root.path());
  CHECK(settings.nvidia_ids == std::vector<std::string>{kUuid0});
  CHECK(settings.nvidia_capabilities ==
        std::vector<std::string>{"gpu", "utility", "compute", "graphics", "video", "display", "compat32"});
  CHECK(paths(settings) == std::vector<std::string>{"/dev/nvidia1", "/dev/nvidiactl", "/dev/nvidia-uvm",
                                                    "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset"});
  CHECK_FALSE(settings.host_ipc);
}

TEST_CASE("nodes that are not there are not asked for") {
  Host host;
  host.file("dev/nvidiactl");
  host.device("0000:18:00.0", kUuid0, 0);
  CHECK(paths(nvidia_settings(two, {kUuid0, kUuid1}, host.root.path())) ==
        std::vector<std::string>{"/dev/nvidia0", "/dev/nvidiactl"});
}

TEST_CASE("a container of no GPU gets nothing") {
  Host host;
  host.control_nodes();
  const GpuSettings settings = nvidia_settings(two, {}, host.root.path());
  CHECK(settings.nvidia_ids.empty());
  CHECK(settings.devices.empty());
}

TEST_CASE("WSL has no nodes to pass") {
  Host host;
  host.file("dev/dxg");
  const GpuSettings settings = nvidia_settings(two, {kUuid0}, host.root.path());
  CHECK(settings.nvidia_ids.size() == 1);
  CHECK(settings.devices.empty());
}

TEST_CASE("with MIG no nodes are passed") {
  Host host;
  host.control_nodes();
  host.device("0000:18:00.0", kUuid0, 0);
  host.device("0000:2a:00.0", kUuid1, 1);
  host.file("proc/driver/nvidia/capabilities/gpu0/mig/gi1/access");
  CHECK(nvidia_settings(two, {kUuid0}, host.root.path()).devices.empty());
  CHECK(nvidia_settings(two, {kUuid0}, host.root.path()).nvidia_ids.size() == 1);
  CHECK(paths(nvidia_settings(two, {kUuid1}, host.root.path())).front() == "/dev/nvidia1");
}

TEST_CASE("where the driver does not tell UUIDs, bus ids say which node is whose") {
  test::FakeTools tools;
  Host host;
  host.control_nodes();
  host.device("0000:18:00.0", unknown_uuid(), 1);
  host.device("0000:2a:00.0", unknown_uuid(), 0);
  tools.add("nvidia-smi", std::format("case $1 in *name*) printf 'A, 1, {0}, 1\\nA, 1, {1}, 1\\n';; "
                                      "*) printf '{0}, 00000000:18:00.0\\n{1}, 00000000:2A:00.0\\n';; esac",
                                      kUuid0, kUuid1));
  const Inventory inventory = detect_nvidia(host.root.path());
  CHECK(tools.calls("nvidia-smi") == 2);
  CHECK(paths(nvidia_settings(inventory.gpus, {kUuid0}, host.root.path())).front() == "/dev/nvidia1");
  CHECK(paths(nvidia_settings(inventory.gpus, {kUuid1}, host.root.path())).front() == "/dev/nvidia0");
}

TEST_CASE("a start that fails for the modeset node may be tried without display") {
  Host host;
  host.control_nodes();
  host.device("0000:18:00.0", kUuid0, 0);
  GpuSettings settings = nvidia_settings(two, {kUuid0}, host.root.path());
  const std::string reason =
      "nvidia-container-cli: mount error: stat failed: /dev/nvidia-modeset: no such file or directory: unknown";
  CHECK(fails_for_display(settings, reason));
  CHECK_FALSE(fails_for_display(settings, "out of memory"));
  drop_display(settings);
  CHECK_FALSE(fails_for_display(settings, reason));
  CHECK(settings.nvidia_capabilities ==
        std::vector<std::string>{"gpu", "utility", "compute", "graphics", "video", "compat32"});
  CHECK(paths(settings) ==
        std::vector<std::string>{"/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"});
}
