#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "common/error.h"
#include "shim/gpu/health_monitor.h"
#include "shim/gpu/host_gpus.h"
#include "shim/gpu/sick_gpus.h"
#include "shim/gpu/xid.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_tools.h"
#include "tests/support/logged.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::shim::gpu;

TEST_CASE("an Xid is found in a record of the kernel, and not in what a program wrote there") {
  const auto record = parse_kernel_record(
      "3,1234,5140900,-;NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', GPU has fallen off the bus.");
  REQUIRE(record);
  CHECK(record->number == 1234);
  CHECK(record->is_kernels);
  const auto xid = parse_xid(record->text);
  REQUIRE(xid);
  CHECK(xid->bus_id == "0000:3b:00");
  CHECK(xid->number == 79);
  CHECK_FALSE(parse_kernel_record("12,1235,5140901,-;NVRM: Xid (PCI:0000:3b:00): 79, x")->is_kernels);
  for (const char* other : {"", " SUBSYSTEM=pci", "6,1", "x,1,2,-;y", "6,x,2,-;y"})
    CHECK_FALSE(parse_kernel_record(other));
  for (const char* other : {"", "NVRM: loading", "NVRM: Xid (PCI:0000:3b:00", "NVRM: Xid (PCI:0000:3b:00): x, y"})
    CHECK_FALSE(parse_xid(other));
}

TEST_CASE("what a job causes does not make a GPU sick") {
  for (const int number : {48, 64, 74, 79, 95, 119, 120}) CHECK(sickness_of_xid(number));
  for (const int number : {13, 31, 43, 45, 63, 94, 0}) CHECK_FALSE(sickness_of_xid(number));
}

TEST_CASE("the tool's rows are read, and what is not one is passed over") {
  const auto all = parse_nvidia_status(
      "Unable to determine the device handle for GPU 0000:5E:00.0: Unknown Error\n"
      "GPU-aaaa1111, 00000000:3B:00.0, 0\n"
      "GPU-bbbb2222, 00000000:5E:00.0, [N/A]\n"
      "GPU-cccc3333, 00000000:AF:00.0, 3\n"
      "GPU-dddd4444, 00000000:D8:00.0, [GPU is lost]\n"
      // As a tool answers that does not look at what it is asked.
      "L40, 46068, GPU-eeee5555, 550.54.15\n");
  REQUIRE(all.size() == 4);
  CHECK(all[0].bus_id == "0000:3b:00.0");
  CHECK(all[1].uncorrected == 0);
  CHECK(all[2].uncorrected == 3);
  CHECK(all[3].is_lost);
  CHECK_FALSE(all[0].is_lost);
}

namespace {

struct HealthFixture {
  test::FakeClock clock;
  test::TemporaryDirectory folder;
  test::FakeTools tools;
  std::set<std::string> sick_ids;
  std::optional<SickGpus> sick;
  std::optional<HealthExamination> examination;

  HealthFixture() {
    std::filesystem::create_directories(folder / "dev");
    std::ofstream(folder / "dev/nvidiactl") << "";
    std::ofstream(folder / "dev/kmsg") << "";
    start("boot-1");
  }

  void start(const std::string& boot_id) {
    examination.reset();
    sick.emplace(
        folder / "sick-gpus.json", boot_id,
        [this](const Sicknesses& all) {
          sick_ids.clear();
          for (const auto& [id, sickness] : all) sick_ids.insert(id);
        },
        clock);
    examination.emplace(*sick, Vendor::nvidia,
                        std::vector<Gpu>{{.id = "GPU-aaaa1111", .name = "A"}, {.id = "GPU-bbbb2222", .name = "B"}},
                        folder / "", clock);
  }
  void tool_says(const std::string& rows) { tools.add("nvidia-smi", "cat <<'END'\n" + rows + "END\n"); }
  void log(const std::string& record) const { std::ofstream(folder / "dev/kmsg", std::ios::app) << record << "\n"; }
  void look() {
    examination->ask_tool({});
    examination->read_kernel_log();
  }
  const std::string well = "GPU-aaaa1111, 00000000:3B:00.0, 0\nGPU-bbbb2222, 00000000:5E:00.0, 0\n";
};

}  // namespace

TEST_CASE_METHOD(HealthFixture, "an Xid of the hardware sets the GPU aside until the next boot") {
  tool_says(well);
  log("4,7,100,-;NVRM: Xid (PCI:0000:5e:00): 31, pid=1, a job's own fault");
  log("12,8,100,-;NVRM: Xid (PCI:0000:5e:00): 79, written by a program");
  look();
  CHECK(sick_ids.empty());
  log("4,9,100,-;NVRM: Xid (PCI:0000:5e:00): 79, pid=1, GPU has fallen off the bus.");
  look();
  CHECK(sick_ids == std::set<std::string>{"GPU-bbbb2222"});
  CHECK(sick->all().at("GPU-bbbb2222").reason == "Xid 79 (fallen off the bus)");
  start("boot-1");
  CHECK(sick_ids == std::set<std::string>{"GPU-bbbb2222"});
  start("boot-2");
  CHECK(sick_ids.empty());
}

TEST_CASE_METHOD(HealthFixture, "a GPU that a person accepts is used until something new is found") {
  tool_says(well);
  log("4,9,100,-;NVRM: Xid (PCI:0000:5e:00): 48, pid=1, x");
  look();
  sick->accept("GPU-bbbb2222");
  CHECK(sick_ids.empty());
  CHECK_THROWS_AS(sick->accept("GPU-bbbb2222"), Error);
  // The same record is seen again after a restart.
  start("boot-1");
  look();
  CHECK(sick_ids.empty());
  log("4,10,100,-;NVRM: Xid (PCI:0000:5e:00): 48, pid=1, x");
  look();
  CHECK(sick_ids == std::set<std::string>{"GPU-bbbb2222"});
}

TEST_CASE_METHOD(HealthFixture, "uncorrected memory errors count when they become more") {
  tool_says("GPU-aaaa1111, 00000000:3B:00.0, 2\nGPU-bbbb2222, 00000000:5E:00.0, 0\n");
  look();
  CHECK(sick->all().at("GPU-aaaa1111").reason == "2 uncorrected memory errors (ECC)");
  sick->accept("GPU-aaaa1111");
  look();
  CHECK(sick_ids.empty());
  tool_says("GPU-aaaa1111, 00000000:3B:00.0, 3\nGPU-bbbb2222, 00000000:5E:00.0, 0\n");
  look();
  CHECK(sick_ids == std::set<std::string>{"GPU-aaaa1111"});
}

TEST_CASE_METHOD(HealthFixture, "a GPU that the tool no longer names is lost, a tool that names none says nothing") {
  tool_says("Failed to initialize NVML: Driver/library version mismatch\n");
  look();
  look();
  look();
  CHECK(sick_ids.empty());
  tool_says("GPU-aaaa1111, 00000000:3B:00.0, 0\n");
  look();
  CHECK(sick_ids.empty());
  look();
  CHECK(sick_ids == std::set<std::string>{"GPU-bbbb2222"});
}

TEST_CASE_METHOD(HealthFixture, "uncorrected errors that AMD's driver counts set the GPU aside") {
  const auto count = [&](const char* node, const char* block, const char* text) {
    const auto folder_of_block = folder / "sys/class/drm" / node / "device/ras";
    std::filesystem::create_directories(folder_of_block);
    std::ofstream(folder_of_block / block) << text;
  };
  for (const char* node : {"renderD128", "renderD129"}) count(node, "umc_err_count", "ue: 0\nce: 3\n");
  count("renderD129", "features", "feature mask: 0x2f\nue: 7\n");
  HealthExamination amd(*sick, Vendor::amd,
                        {{.id = "/dev/dri/renderD128", .name = "A"}, {.id = "/dev/dri/renderD129", .name = "A"}},
                        folder / "", clock);
  amd.ask_tool({});
  CHECK(sick_ids.empty());
  count("renderD129", "umc_err_count", "ue: 1\nce: 3\n");
  count("renderD129", "gfx_err_count", "ue: 2\nce: 0\n");
  amd.ask_tool({});
  CHECK(sick->all().at("/dev/dri/renderD129").reason == "3 uncorrected memory errors (ECC)");
  CHECK(sick_ids.size() == 1);
  // One whose device is gone.
  std::filesystem::remove_all(folder / "sys/class/drm/renderD128");
  amd.ask_tool({});
  amd.ask_tool({});
  CHECK(sick->all().at("/dev/dri/renderD128").reason == "lost: the amdgpu driver no longer names it");
}

TEST_CASE_METHOD(HealthFixture, "uncorrected errors that hl-smi reports set the accelerator aside") {
  HealthExamination gaudi(*sick, Vendor::intel, {{.id = "0", .name = "HL-225"}, {.id = "1", .name = "HL-225"}},
                          folder / "", clock);
  tools.add("hl-smi", "cat <<'END'\n0, 0\n1, N/A\nEND\n");
  gaudi.ask_tool({});
  CHECK(sick_ids.empty());
  tools.add("hl-smi", "cat <<'END'\na warning, of another kind\n0, 0\n1, 2\nEND\n");
  gaudi.ask_tool({});
  CHECK(sick->all().at("1").reason == "2 uncorrected memory errors (ECC)");
  CHECK(sick_ids.size() == 1);
}

TEST_CASE("GPUs that are slowed down by heat are found, for whatever reason of the two") {
  CHECK(parse_hot_gpus("GPU-aaaa1111, Not Active, Not Active\nGPU-bbbb2222, Active, Not Active\n"
                       "GPU-cccc3333, Not Active, Active\nGPU-dddd4444, [N/A], [N/A]\n"
                       "Field \"clocks_throttle_reasons.hw_thermal_slowdown\" is not a valid field to query.\n") ==
        std::vector<std::string>{"GPU-bbbb2222", "GPU-cccc3333"});
}

TEST_CASE("processes with memory of a GPU are read, rows that are not one are passed over") {
  CHECK(parse_gpu_processes("GPU-aaaa1111, 4242, 512\nGPU-bbbb2222, 17, [N/A]\nNo running processes found\n"
                            "GPU-cccc3333, [N/A], 1\nGPU-dddd4444, -1, 1\n") ==
        std::vector<GpuProcess>{{.gpu_id = "GPU-aaaa1111", .pid = 4242, .memory = 512},
                                {.gpu_id = "GPU-bbbb2222", .pid = 17, .memory = 0}});
}

namespace {

// A host whose nvidia-smi and /proc change while it is watched.
struct WatchedHost : HealthFixture {
  test::Logged logged;
  HostGpus gpus{
      {.vendor = Vendor::nvidia, .gpus = {{.id = "GPU-aaaa1111", .name = "A"}, {.id = "GPU-bbbb2222", .name = "B"}}},
      folder / ""};
  std::optional<HealthMonitor> monitor;

  WatchedHost() {
    nvidia_smi("Not Active", "");
    monitor.emplace(*sick, gpus, folder / "", clock);
    minute();
  }
  // How the second GPU is slowed down, and the rows of its processes.
  void nvidia_smi(const std::string& slowdown, const std::string& processes) {
    tools.add("nvidia-smi",
              "case \"$*\" in\n*thermal*) cat <<'END'\nGPU-aaaa1111, Not Active, Not Active\nGPU-bbbb2222, " +
                  slowdown + ", Not Active\nEND\n;;\n*compute-apps*) cat <<'END'\n" + processes +
                  "END\n;;\n*) cat <<'END'\n" + well + "END\nesac\n");
  }
  void process(int pid, const std::string& name, const std::string& cgroup) const {
    const auto proc = folder / "proc" / std::to_string(pid);
    std::filesystem::create_directories(proc);
    std::ofstream(proc / "comm") << name << "\n";
    std::ofstream(proc / "cgroup") << "0::" << cgroup << "\n";
  }
  // Until what is asked once a minute has been asked.
  void minute() {
    constexpr std::chrono::seconds pause(2);
    for (int looks = 0; looks < 32;) {
      if (clock.end_next_wait(pause)) {
        ++looks;
      } else {
        std::this_thread::yield();
      }
    }
  }
  int count(const std::string& text) const {
    const std::string all = logged.text();
    int found = 0;
    for (std::size_t at = 0; (at = all.find(text, at)) != std::string::npos; ++at) ++found;
    return found;
  }
};

}  // namespace

TEST_CASE_METHOD(WatchedHost, "heat is logged when it begins and when it is over, and costs no task its GPU") {
  CHECK(gpus.remarks().hot.empty());
  nvidia_smi("Active", "");
  minute();
  minute();
  CHECK(gpus.remarks().hot == std::set<std::string>{"GPU-bbbb2222"});
  CHECK(count("GPU \"GPU-bbbb2222\" is too hot: the driver slows it down") == 1);
  CHECK(sick_ids.empty());
  CHECK(gpus.take(2, {}).size() == 2);
  nvidia_smi("Not Active", "");
  minute();
  CHECK(gpus.remarks().hot.empty());
  CHECK(count("GPU \"GPU-bbbb2222\" is no longer slowed down by heat") == 1);
}

TEST_CASE_METHOD(WatchedHost, "memory that a process of no container holds is logged, that of containers is not") {
  process(17, "Xorg", "/user.slice/user-1000.slice");
  process(4242, "python", "/system.slice/docker-" + std::string(64, 'a') + ".scope");
  nvidia_smi("Not Active", "GPU-aaaa1111, 17, 512\nGPU-aaaa1111, 4242, 20000\nGPU-bbbb2222, 99, 1\n");
  minute();
  minute();
  CHECK(gpus.remarks().outside ==
        std::vector<OutsideProcess>{{.gpu_id = "GPU-aaaa1111", .pid = 17, .name = "Xorg", .memory = 512}});
  CHECK(count("process 17 (\"Xorg\") outside of any container holds 512 MiB of its memory") == 1);
  CHECK(count("process 4242") == 0);
  CHECK(sick_ids.empty());
  nvidia_smi("Not Active", "");
  minute();
  CHECK(gpus.remarks().outside.empty());
  CHECK(count("process 17 no longer holds its memory") == 1);
}

TEST_CASE_METHOD(WatchedHost, "a driver that is upgraded while the shim runs is logged once") {
  CHECK_FALSE(gpus.driver_mismatch());
  SECTION("by the versions of its files") {
    std::filesystem::create_directories(folder / "sys/module/nvidia");
    std::filesystem::create_directories(folder / "usr/lib64");
    std::ofstream(folder / "sys/module/nvidia/version") << "550.54.15\n";
    std::ofstream(folder / "usr/lib64/libnvidia-ml.so.550.144.03") << "";
    std::filesystem::create_symlink("libnvidia-ml.so.550.144.03", folder / "usr/lib64/libnvidia-ml.so.1");
  }
  SECTION("by what nvidia-smi says") {
    tools.prints("nvidia-smi", "Failed to initialize NVML: Driver/library version mismatch\n", 18);
  }
  minute();
  minute();
  REQUIRE(gpus.driver_mismatch());
  CHECK(gpus.driver_mismatch()->contains("restart the host"));
  CHECK(count("the NVIDIA driver was upgraded and the host not restarted since") == 1);
  // No GPU is set aside for that: none can be used until the restart, and all can after it.
  CHECK(sick_ids.empty());
}

TEST_CASE("a GPU that is set aside is not handed out, and counts as sick") {
  HostGpus gpus(Inventory{.vendor = Vendor::nvidia,
                          .gpus = {{.id = "a", .name = "A"}, {.id = "b", .name = "B"}, {.id = "c", .name = "C"}}});
  CHECK(gpus.take(1, {}) == std::vector<std::string>{"a"});
  gpus.set_sick({{"a", {.reason = "x"}}, {"b", {.reason = "x"}}});
  CHECK(gpus.counts().sick == 2);
  CHECK(gpus.counts().free == 1);
  CHECK(gpus.counts().taken == 0);
  gpus.give_back({"a"});
  CHECK(gpus.take(-1, {}) == std::vector<std::string>{"c"});
  gpus.give_back({"c"});
  try {
    gpus.take(2, {});
    FAIL("a sick GPU was handed out");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).contains("2 set aside"));
  }
  gpus.set_sick({});
  CHECK(gpus.take(3, {}).size() == 3);
}
