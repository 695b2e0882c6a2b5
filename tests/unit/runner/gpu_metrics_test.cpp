#include <sys/stat.h>
#include <algorithm>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cstdlib>
#include <filesystem>
#include <format>
#include <fstream>
#include <future>
#include <thread>

#include "common/gpu/vendor.h"
#include "common/os/child_thread.h"
#include "common/os/file.h"
#include "runner/metrics/gpu.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_directory.h"

namespace dstack::runner::metrics {

namespace {

constexpr std::uint64_t kMebibyte = 1 << 20;

// Puts a tool of that name first in PATH.
class FakeTool {
 public:
  FakeTool(const std::string& name, const std::string& script) {
    std::ofstream(folder_ / name) << "#!/bin/sh\n" << script << "\n";
    REQUIRE(::chmod((folder_ / name).c_str(), 0755) == 0);
    ::setenv("PATH", (folder_.path().string() + ":/usr/bin:/bin").c_str(), 1);
  }

 private:
  test::TemporaryDirectory folder_;
};

}  // namespace

TEST_CASE("nvidia-smi's and hl-smi's lines are memory and utilization") {
  CHECK(parse_smi_csv("1024, 55\n0, 0\n") == std::vector<GpuMetrics>{{1024 * kMebibyte, 55}, {0, 0}});
  CHECK(parse_smi_csv("672, 3%\r\n") == std::vector<GpuMetrics>{{672 * kMebibyte, 3}});
  CHECK(parse_smi_csv("") == std::vector<GpuMetrics>{});
}

TEST_CASE("a value that a GPU does not have is 0, a line that is not a GPU's is passed over") {
  CHECK(parse_smi_csv("[N/A], 5\n1, [Not Supported]\n[N/A], [N/A]\n2, 3\n") ==
        std::vector<GpuMetrics>{{0, 5}, {kMebibyte, 0}, {0, 0}, {2 * kMebibyte, 3}});
  CHECK(parse_smi_csv("NVIDIA-SMI has failed\n").empty());
  CHECK(parse_smi_csv("WARNING: infoROM is corrupted, see the log\n"
                      "Unable to determine the device handle for GPU0000:05:00.0: GPU is lost.\n"
                      "7, 8\n") == std::vector<GpuMetrics>{{7 * kMebibyte, 8}});
  CHECK(parse_smi_csv("99999999999999999999999, 5\n") == std::vector<GpuMetrics>{{0, 5}});
}

TEST_CASE("nvidia-smi's statuses that only warn cost nothing") {
  const int status = GENERATE(14, 15);
  const FakeTool tool("nvidia-smi", "echo '7, 8'; exit " + std::to_string(status));
  CHECK(read_gpu_metrics(gpu::Vendor::nvidia) == std::vector<GpuMetrics>{{7 * kMebibyte, 8}});
}

TEST_CASE("amd-smi's columns are found by their names") {
  CHECK(parse_amd_smi_csv("gpu,gfx,gfx_clk,vram_used,vram_total\n0,36,1,9824,196300\n1,0,1,283,196300\n") ==
        std::vector<GpuMetrics>{{9824 * kMebibyte, 36}, {283 * kMebibyte, 0}});
  CHECK(parse_amd_smi_csv("gpu,gfx\n0,36\n").empty());
  CHECK(parse_amd_smi_csv("").empty());
}

TEST_CASE("one line or value of amd-smi's that cannot be read costs no other") {
  CHECK(parse_amd_smi_csv("WARNING: user is not in the group render\n"
                          "gpu,gfx,vram_used\n0,N/A,283\n1,1\n2,4,5\n") ==
        std::vector<GpuMetrics>{{283 * kMebibyte, 0}, {5 * kMebibyte, 4}});
}

TEST_CASE("the vendor's tool is asked") {
  const FakeTool tool(
      "nvidia-smi",
      R"([ "$*" = "--query-gpu=memory.used,utilization.gpu --format=csv,noheader,nounits" ] && echo "7, 8")");
  CHECK(read_gpu_metrics(gpu::Vendor::nvidia) == std::vector<GpuMetrics>{{7 * kMebibyte, 8}});
}

TEST_CASE("a tool that fails, or is not there, gives no GPUs") {
  const FakeTool tool("hl-smi", "echo '1, 2'; exit 1");
  CHECK(read_gpu_metrics(gpu::Vendor::intel).empty());
  CHECK(read_gpu_metrics(gpu::Vendor::amd).empty());
  CHECK(read_gpu_metrics(gpu::Vendor::none).empty());
}

TEST_CASE("device nodes tell the vendor, the unambiguous ones first") {
  const test::TemporaryDirectory root;
  CHECK(gpu::detect_vendor(root.path()) == gpu::Vendor::none);
  std::filesystem::create_directories(root / "dev/accel");
  CHECK(gpu::detect_vendor(root.path()) == gpu::Vendor::intel);
  std::ofstream(root / "dev/kfd") << "";
  CHECK(gpu::detect_vendor(root.path()) == gpu::Vendor::amd);
  std::filesystem::create_directories(root / "dev/tenstorrent");
  CHECK(gpu::detect_vendor(root.path()) == gpu::Vendor::tenstorrent);
  std::ofstream(root / "dev/dxg") << "";
  CHECK(gpu::detect_vendor(root.path()) == gpu::Vendor::tenstorrent);
  std::filesystem::create_directories(root / "usr/lib/wsl/lib");
  std::ofstream(root / "usr/lib/wsl/lib/nvidia-smi") << "";
  CHECK(gpu::detect_vendor(root.path()) == gpu::Vendor::nvidia);
}

TEST_CASE("on WSL the tool is the one beside the library, not the one on PATH") {
  const FakeTool other("nvidia-smi", "echo '1, 2'");
  const test::TemporaryDirectory root;
  const std::filesystem::path tool = root / "usr/lib/wsl/lib/nvidia-smi";
  std::filesystem::create_directories(tool.parent_path());
  std::ofstream(tool) << "#!/bin/sh\necho '7, 8'\n";
  std::filesystem::permissions(tool, std::filesystem::perms::owner_all);
  CHECK(read_gpu_metrics(gpu::Vendor::nvidia, os::system_clock(), root.path()) ==
        std::vector<GpuMetrics>{{7 * kMebibyte, 8}});
}

TEST_CASE("callers who ask at the same time share one run of the tool") {
  const test::TemporaryDirectory folder;
  const FakeTool tool("nvidia-smi", std::format("echo x >> {0}/calls; while [ ! -e {0}/go ]; do :; done; echo '7, 8'",
                                                folder.path().string()));
  GpuReader reader(os::system_clock(), gpu::Vendor::nvidia);
  std::atomic<int> answers = 0;
  {
    std::vector<std::jthread> callers;
    for (int i = 0; i < 8; ++i)
      callers.emplace_back([&] { answers += reader.read() == std::vector<GpuMetrics>{{7 * kMebibyte, 8}}; });
    while (reader.waiting() < 7) std::this_thread::yield();
    std::ofstream(folder / "go") << "";
  }
  CHECK(answers == 8);
  CHECK(os::read_file(folder / "calls") == "x\n");
}

TEST_CASE("a tool that cannot be killed costs one time limit, and is not started again") {
  const test::TemporaryDirectory folder;
  const std::string file = folder / "held";
  const FakeTool tool("nvidia-smi", std::string("exec ") + DSTACK_TEST_UNKILLABLE + " " + file);
  test::FakeClock clock;
  GpuReader reader(clock, gpu::Vendor::nvidia);
  auto caller = std::async(std::launch::async, [&] { return reader.read(); });
  while (!std::filesystem::exists(file)) std::this_thread::yield();
  clock.advance_until_ready(caller);
  CHECK(caller.get().empty());
  const std::vector<pid_t> hanging = os::started_children();
  CHECK_FALSE(hanging.empty());
  CHECK(reader.read().empty());
  // A second one would be there.
  CHECK(std::ranges::includes(hanging, os::started_children()));
  std::filesystem::remove(file);
  while (!os::started_children().empty()) std::this_thread::yield();
}

}  // namespace dstack::runner::metrics
