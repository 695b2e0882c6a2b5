// AMD, Intel Gaudi and Tenstorrent: what their tools print and what containers get.

#include <catch2/catch_test_macros.hpp>
#include <format>
#include <fstream>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "shim/gpu/amd.h"
#include "shim/gpu/intel.h"
#include "shim/gpu/tenstorrent.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::shim::gpu;

namespace {

constexpr std::int64_t kGib = 1024;

// A host whose udev has linked the render nodes of these bus ids, from renderD128 on.
class AmdHost {
 public:
  explicit AmdHost(const std::vector<std::string>& bus_ids) {
    std::filesystem::create_directories(root_ / "dev/dri/by-path");
    int number = 128;
    for (const std::string& id : bus_ids) {
      const std::string node = std::format("renderD{}", number++);
      std::ofstream(root_ / "dev/dri" / node).put('x');
      std::filesystem::create_symlink("../" + node, root_ / "dev/dri/by-path" / std::format("pci-{}-render", id));
    }
  }
  const std::filesystem::path& root() const { return root_.path(); }
  void file(const std::string& path, const std::string& text = "") const {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  void compute_node(int number, const std::string& properties) const {
    file(std::format("sys/class/kfd/kfd/topology/nodes/{}/properties", number), properties);
  }

 private:
  test::TemporaryDirectory root_;
};

nlohmann::json chip(const std::string& type, const std::string& board, const std::string& bus = "0000:01:00.0") {
  return {{"smbus_telem", {{"BOARD_ID", "0x1"}}},
          {"board_info", {{"bus_id", bus}, {"board_type", type}, {"board_id", board}}}};
}

std::string snapshot(const std::vector<nlohmann::json>& chips) {
  return nlohmann::json{
      {"time", "2025-06-20T12:10:28"}, {"host_info", {{"Driver", "TT-KMD 1.33"}}}, {"device_info", chips}}
      .dump(4);
}

std::vector<Gpu> tenstorrent(const std::vector<nlohmann::json>& chips) { return parse_tt_smi(snapshot(chips)).gpus; }

}  // namespace

TEST_CASE("amd-smi of ROCm 6 answers with an array") {
  const AmdHost host({"0000:05:00.0", "0000:26:00.0"});
  const Inventory inventory = parse_amd_smi(R"([
    {"gpu": 0, "asic": {"market_name": "AMD Instinct MI300X", "vendor_id": "0x1002"}, "bus": {"bdf": "0000:26:00.0"},
     "driver": {"name": "amdgpu", "version": "6.10.5"}, "vram": {"type": "HBM", "size": {"value": 196592, "unit": "MB"}}},
    {"gpu": 1, "asic": {"market_name": "AMD Instinct MI300X"}, "bus": {"bdf": "0000:05:00.0"},
     "driver": {"name": "amdgpu", "version": "6.10.5"}, "vram": {"size": {"value": 196592, "unit": "MB"}}}])",
                                            host.root());
  CHECK(inventory.vendor == Vendor::amd);
  CHECK(inventory.driver_version == "6.10.5");
  CHECK(inventory.gpus ==
        std::vector<Gpu>{{.id = "/dev/dri/renderD129", .name = "AMD Instinct MI300X", .memory = 196592},
                         {.id = "/dev/dri/renderD128", .name = "AMD Instinct MI300X", .memory = 196592}});
}

TEST_CASE("amd-smi of ROCm 7 answers with an object") {
  const AmdHost host({"0000:05:00.0"});
  const Inventory inventory = parse_amd_smi(R"({"gpu_data": [{"gpu": 0, "asic": {"MARKET_NAME": "MI355X"},
    "vram": {"size": {"value": "294896", "unit": "MB"}}, "bus": {"bdf": "0000:05:00.0"},
    "driver": {"NAME": "amdgpu", "VERSION": "6.14.14"}}]})",
                                            host.root());
  CHECK(inventory.gpus.at(0) == Gpu{.id = "/dev/dri/renderD128", .name = "MI355X", .memory = 294896});
  CHECK(inventory.driver_version == "6.14.14");
}

TEST_CASE("amd-smi names the driver's version in several ways, or not") {
  const AmdHost host({"0000:05:00.0"});
  const auto version = [&host](const std::string& driver) {
    return parse_amd_smi(R"([{"bus": {"bdf": "0000:05:00.0"})" + driver + "}]", host.root()).driver_version;
  };
  CHECK(version(R"(, "driver": {"driver_name": "amdgpu", "driver_version": "6.8.5"})") == "6.8.5");
  CHECK(version(R"(, "driver": {"version": "6.10.5", "driver_version": "6.8.5"})") == "6.10.5");
  CHECK(version(R"(, "driver": {"version": "N/A", "driver_version": "6.8.5"})") == "6.8.5");
  CHECK(version(R"(, "driver": {"name": "N/A", "version": "N/A"})").empty());
  CHECK(version(R"(, "driver": "amdgpu 6.8.5")").empty());
  CHECK(version(R"(, "driver": {"version": 6})").empty());
  CHECK(version("").empty());
}

TEST_CASE("warnings before amd-smi's answer are passed over") {
  const AmdHost host({"0000:05:00.0"});
  CHECK(parse_amd_smi("WARNING: User is missing the following required groups: render\n[WARN] more\n"
                      R"([{"bus": {"bdf": "0000:05:00.0"}}])",
                      host.root())
            .gpus.size() == 1);
}

TEST_CASE("warnings between and behind amd-smi's rows cost no GPU, a row that is cut off costs itself") {
  const AmdHost host({"0000:05:00.0", "0000:26:00.0"});
  const std::string first = R"({"gpu": 0, "asic": {"market_name": "MI300X {\"8\"}"}, "bus": {"bdf": "0000:05:00.0"}})";
  const std::string second = R"({"gpu": 1, "bus": {"bdf": "0000:26:00.0"}})";
  const auto count = [&host](const std::string& output) { return parse_amd_smi(output, host.root()).gpus.size(); };
  CHECK(count("[" + first + ",\n" + second + "]\nWARNING: {odd} \"thing\n") == 2);
  CHECK(count("[\n" + first + ",\nWARNING: \"gpu 1 is hot\n" + second + "\n]\n") == 2);
  CHECK(count("{\"gpu_data\": [" + first + ", {\"gpu\": 2, \"bus\": {\"bdf\"," + second + "]}") == 2);
  CHECK(count("{\"gpu_data\": [" + first + ", {\"gpu\": 1, \"bus\": {\"bdf\": \"0000:26") == 1);
}

TEST_CASE("partitions that have render nodes of their own are GPUs of their own") {
  AmdHost host({"0000:05:00.0"});
  for (int partition = 0; partition < 3; ++partition) {
    host.file(std::format("dev/dri/renderD{}", 128 + partition));
    // The kernel writes the partition into the upper bits of the place: 0x500 is 05:00.0.
    host.compute_node(partition + 2, std::format("simd_count 304\ncpu_cores_count 0\ndomain 0\nlocation_id {}\n"
                                                 "drm_render_minor {}\n",
                                                 (std::int64_t{partition} << 28) + 0x500, 128 + partition));
  }
  const std::string row = R"({"bus": {"bdf": "0000:05:00.0"}})";
  const auto gpus = parse_amd_smi(std::format("[{0}, {0}, {0}, {0}]", row), host.root()).gpus;
  REQUIRE(gpus.size() == 3);
  CHECK(gpus[0].id == "/dev/dri/renderD128");
  CHECK(gpus[1].id == "/dev/dri/renderD129");
  CHECK(gpus[2].id == "/dev/dri/renderD130");
  // As some versions write it.
  CHECK(parse_amd_smi(R"([{"bus": {"bdf": "0000:05:00.2"}}])", host.root()).gpus.at(0).id == "/dev/dri/renderD130");
}

TEST_CASE("two entries that stand for one render node are one GPU") {
  const AmdHost host({"0000:05:00.0"});
  const std::string row = R"({"bus": {"bdf": "0000:05:00.0"}})";
  CHECK(parse_amd_smi(std::format("[{0}, {0}, {0}]", row), host.root()).gpus.size() == 1);
}

TEST_CASE("a GPU in a processor has the machine's memory where amd-smi knows none") {
  AmdHost host({"0000:05:00.0"});
  host.file("proc/meminfo", "MemTotal:       131072000 kB\n");
  host.compute_node(0, "simd_count 80\ncpu_cores_count 16\ndomain 0\nlocation_id 1280\ndrm_render_minor 128\n");
  const auto memory = [&host](const std::string& vram) {
    return parse_amd_smi(std::format(R"([{{"bus": {{"bdf": "0000:05:00.0"}}, "vram": {{"size": {}}}}}])", vram),
                         host.root())
        .gpus.at(0)
        .memory;
  };
  CHECK(memory("\"N/A\"") == 128000);
  CHECK(memory(R"({"value": 512, "unit": "MB"})") == 512);
}

TEST_CASE("a memory that amd-smi does not know is 0") {
  const AmdHost host({"0000:05:00.0"});
  for (const char* vram : {"{}", R"({"size": "N/A"})", R"({"size": {"value": "N/A", "unit": "MB"}})",
                           R"({"size": {"value": -1}})", "[]"}) {
    CHECK(parse_amd_smi(std::format(R"([{{"bus": {{"bdf": "0000:05:00.0"}}, "vram": {}}}])", vram), host.root())
              .gpus.at(0)
              .memory == 0);
  }
  CHECK(parse_amd_smi(R"([{"bus": {"bdf": "0000:05:00.0"}, "vram": {"size": {"value": 192, "unit": "GB"}}}])",
                      host.root())
            .gpus.at(0)
            .memory == 192 * kGib);
}

TEST_CASE("a GPU without a render node is left out") {
  const AmdHost host({"0000:05:00.0"});
  const Inventory inventory = parse_amd_smi(
      R"([{"bus": {"bdf": "0000:99:00.0"}}, {"bus": {"bdf": "0000:05:00.0"}}, {"bus": {}}, {}, 5])", host.root());
  REQUIRE(inventory.gpus.size() == 1);
  CHECK(inventory.gpus[0].id == "/dev/dri/renderD128");
}

TEST_CASE("a bus id that is a path leads nowhere") {
  const AmdHost host({"0000:05:00.0"});
  for (const char* bdf : {"../../0000:05:00.0", "/etc/passwd", "", "0000:05:00.0/.."}) {
    CHECK(parse_amd_smi(std::format(R"([{{"bus": {{"bdf": "{}"}}}}])", bdf), host.root()).gpus.empty());
  }
}

TEST_CASE("without udev's links the kernel tells the render node") {
  test::TemporaryDirectory root;
  std::filesystem::create_directories(root / "sys/bus/pci/devices/0000:05:00.0/drm/card1");
  std::filesystem::create_directories(root / "sys/bus/pci/devices/0000:05:00.0/drm/renderD130");
  CHECK(parse_amd_smi(R"([{"bus": {"bdf": "0000:05:00.0"}}])", root.path()).gpus.at(0).id == "/dev/dri/renderD130");
}

TEST_CASE("what is not amd-smi's answer names no GPU") {
  const AmdHost host({"0000:05:00.0"});
  for (const std::string& output :
       {std::string(), std::string("\n"), std::string("{}"), std::string("null"), std::string("{\"gpu_data\": 5}"),
        std::string("ERROR: no GPU\n"), std::string("[{"), std::string("\xff\xfe"), std::string("[0, 0]"),
        std::string("[{\"bus\": \"N/A\"}]"), std::string(100'000, '{'), std::string("[]")}) {
    INFO(output.substr(0, 100));
    CHECK(parse_amd_smi(output, host.root()).gpus.empty());
  }
}

TEST_CASE("a container of AMD gets kfd and its render nodes") {
  const auto settings = amd_settings({"/dev/dri/renderD128", "/dev/dri/renderD130"});
  REQUIRE(settings.devices.size() == 3);
  CHECK(settings.devices[0].path_on_host == "/dev/kfd");
  CHECK(settings.devices[1].path_on_host == "/dev/dri/renderD128");
  CHECK(settings.devices[2].path_in_container == "/dev/dri/renderD130");
  CHECK(settings.host_ipc);
  CHECK(settings.added_capabilities == std::vector<std::string>{"SYS_PTRACE"});
  CHECK(settings.security_options == std::vector<std::string>{"seccomp=unconfined"});
  CHECK(amd_settings({}).devices.empty());
}

TEST_CASE("hl-smi lists accelerators by their indices") {
  const Inventory inventory = parse_hl_smi("HL-225, 98304, 0\nHL-225, 98304, 1\n");
  CHECK(inventory.vendor == Vendor::intel);
  CHECK(inventory.gpus == std::vector<Gpu>{{.id = "0", .name = "HL-225", .memory = 98304},
                                           {.id = "1", .name = "HL-225", .memory = 98304}});
  CHECK(parse_hl_smi("HL-325L, 131072 MiB, 0").gpus.at(0).memory == 131072);
  CHECK(parse_hl_smi("HL-225, N/A, 0\n").gpus.at(0).memory == 0);
  CHECK(parse_hl_smi("").gpus.empty());
}

TEST_CASE("a line of hl-smi that is not an accelerator costs only that line") {
  const std::vector<Gpu> both{{.id = "0", .name = "HL-225", .memory = 98304},
                              {.id = "1", .name = "HL-225, 2", .memory = 0}};
  for (const char* line :
       {"name, memory.total [MiB], index\n", "HL-225, 98304\n", "HL-225, 98304, x\n", "HL-225, 98304, 0\n",
        "WARNING: firmware 1.2, driver 1.3\n", "HL-225, N/A, N/A\n", ", , \n", "HL-225, many, 7\n"}) {
    INFO(line);
    CHECK(parse_hl_smi(std::string("HL-225, 98304, 0\n") + line + "HL-225, 2, [Unknown Error], 1\n" + line).gpus ==
          both);
  }
  CHECK(parse_hl_smi("No devices found\n").gpus.empty());
}

TEST_CASE("a container of Gaudi gets Habana's runtime and its indices") {
  const auto settings = intel_settings({"0", "3", "5"});
  CHECK(settings.runtime == "habana");
  CHECK(settings.host_ipc);
  CHECK(settings.added_capabilities == std::vector<std::string>{"SYS_NICE"});
  CHECK(settings.environment == std::vector<std::string>{"HABANA_VISIBLE_DEVICES=0,3,5"});
  CHECK(settings.devices.empty());
  CHECK(intel_settings({}).runtime.empty());
  CHECK(intel_ids(settings.environment[0]) == std::vector<std::string>{"0", "3", "5"});
  CHECK(intel_ids("HABANA_VISIBLE_DEVICES=all").empty());
  CHECK(intel_ids("PATH=/bin").empty());
}

TEST_CASE("a Wormhole board is its left chip with the memory of both") {
  CHECK(tenstorrent({chip("n150 L", "100018611902010")}) ==
        std::vector<Gpu>{{.id = "0", .name = "n150", .memory = 12 * kGib}});
  CHECK(
      tenstorrent({chip("n300 L", "a"), chip("n300 L", "b"), chip("n300 R", "b", "N/A"), chip("n300 R", "a", "N/A")}) ==
      std::vector<Gpu>{{.id = "0", .name = "n300", .memory = 24 * kGib},
                       {.id = "1", .name = "n300", .memory = 24 * kGib}});
}

TEST_CASE("each left chip of a Wormhole galaxy is one, though they share a board") {
  std::vector<nlohmann::json> chips;
  for (int i = 0; i < 32; ++i) chips.push_back(chip("tt-galaxy-wh L", "100035100000000"));
  const auto gpus = tenstorrent(chips);
  REQUIRE(gpus.size() == 32);
  CHECK(gpus[31] == Gpu{.id = "31", .name = "tt-galaxy-wh", .memory = 12 * kGib});
}

TEST_CASE("Wormhole chips without a side count once a board") {
  CHECK(tenstorrent({chip("n300", "a"), chip("n300", "a"), chip("n150", "b")}) ==
        std::vector<Gpu>{{.id = "0", .name = "n300", .memory = 24 * kGib},
                         {.id = "1", .name = "n150", .memory = 12 * kGib}});
}

TEST_CASE("names of Blackhole boards lose their revisions") {
  const auto gpus = tenstorrent({chip("bh-scrappy", "1"), chip("p100", "2"), chip("p100a", "3"), chip("p150a", "4"),
                                 chip("p150b", "5"), chip("p300c", "6"), chip("tt-galaxy-bh", "7")});
  REQUIRE(gpus.size() == 7);
  for (int i = 0; i < 3; ++i) CHECK(gpus[static_cast<std::size_t>(i)].name == "p100a");
  CHECK(gpus[0].memory == 28 * kGib);
  CHECK(gpus[3] == Gpu{.id = "3", .name = "p150", .memory = 32 * kGib});
  CHECK(gpus[5] == Gpu{.id = "5", .name = "p300", .memory = 32 * kGib});
  CHECK(gpus[6] == Gpu{.id = "6", .name = "tt-galaxy-bh", .memory = 32 * kGib});
}

TEST_CASE("two local Blackhole chips of one board are two, a remote one brings its memory along") {
  CHECK(tenstorrent({chip("p300a", "b", "0000:01:00.0"), chip("p300a", "b", "0000:02:00.0")}).size() == 2);
  for (const char* nowhere : {"N/A", "n/a"}) {
    CHECK(tenstorrent({chip("p300a", "b", nowhere), chip("p300a", "b", "0000:01:00.0")}) ==
          std::vector<Gpu>{{.id = "0", .name = "p300", .memory = 64 * kGib}});
  }
}

TEST_CASE("a board that nobody knows has no known memory") {
  CHECK(tenstorrent({chip("x900", "1")}) == std::vector<Gpu>{{.id = "0", .name = "x900", .memory = 0}});
}

TEST_CASE("what is not tt-smi's answer names no device") {
  for (const char* output :
       {"", "{}", "[]", R"({"device_info": null})", R"({"device_info": {}})", "Traceback:\n", R"({"device_info": [5]})",
        R"({"device_info": [{"board_info": {}}]})", "{\"device_info\": [", R"({"device_info": []})"}) {
    INFO(output);
    CHECK(parse_tt_smi(output).gpus.empty());
  }
}

TEST_CASE("a chip of tt-smi that cannot be read costs itself, and those behind it keep their nodes") {
  nlohmann::json lost = chip("n150 L", "2", "0000:02:00.0");
  lost["board_info"]["board_type"] = "N/A";
  CHECK(tenstorrent({chip("n150 L", "1"), lost, chip("n150 L", "3")}) ==
        std::vector<Gpu>{{.id = "0", .name = "n150", .memory = 12 * kGib},
                         {.id = "2", .name = "n150", .memory = 12 * kGib}});
  CHECK(tenstorrent({lost, chip("p150", "3")}) == std::vector<Gpu>{{.id = "1", .name = "p150", .memory = 32 * kGib}});
  CHECK(tenstorrent({chip("n150 L", "1"), {{"board_info", {{"board_type", 5}}}}, chip("n150 L", "3")}).size() == 2);
}

TEST_CASE("warnings around tt-smi's answer cost no device") {
  CHECK(
      parse_tt_smi("[WARN] {old} firmware\n" + snapshot({chip("n150 L", "1")}) + "\ndone: 1 {warning}\n").gpus.size() ==
      1);
}

TEST_CASE("a container of Tenstorrent gets its nodes, and huge pages where there are any") {
  test::TemporaryDirectory root;
  auto settings = tenstorrent_settings({"0", "3"}, root.path());
  REQUIRE(settings.devices.size() == 2);
  CHECK(settings.devices[0].path_on_host == "/dev/tenstorrent/0");
  CHECK(settings.devices[1].path_in_container == "/dev/tenstorrent/3");
  CHECK(settings.mounts.empty());
  std::filesystem::create_directories(root / "dev/hugepages-1G");
  settings = tenstorrent_settings({"0"}, root.path());
  REQUIRE(settings.mounts.size() == 1);
  CHECK(settings.mounts[0].source == "/dev/hugepages-1G");
  CHECK(settings.mounts[0].target == "/dev/hugepages-1G");
  CHECK_FALSE(settings.mounts[0].read_only);
  CHECK(tenstorrent_id("/dev/tenstorrent/3") == "3");
  CHECK(tenstorrent_id("/dev/kfd").empty());
}
