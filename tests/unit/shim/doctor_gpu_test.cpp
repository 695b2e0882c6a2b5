#include "shim/doctor/gpu_checks.h"
#include "tests/support/fake_tools.h"
#include "tests/unit/shim/doctor_test.h"

namespace dstack::shim::doctor {

namespace {

struct GpuFixture : DoctorFixture {
  test::FakeTools tools;

  GpuFixture() { tools.hide_all_others(); }
};

}  // namespace

TEST_CASE_METHOD(GpuFixture, "a host without a GPU lacks nothing") {
  CHECK(check_gpu(host) == ok("none"));
  CHECK(check_container_toolkit(host).verdict == Verdict::ok);
}

TEST_CASE_METHOD(GpuFixture, "NVIDIA's GPUs are told with their driver") {
  put("dev/nvidiactl");
  tools.prints("nvidia-smi", "NVIDIA H200, 143771, GPU-a, 550.54.15\nNVIDIA H200, 143771, GPU-b, 550.54.15\n");
  CHECK(check_gpu(host) == ok("2 × NVIDIA H200, driver 550.54.15"));
}

TEST_CASE_METHOD(GpuFixture, "a driver that does not answer is broken, in its own words") {
  put("dev/nvidiactl");
  CHECK(check_gpu(host).verdict == Verdict::broken);
  tools.prints("nvidia-smi", "Failed to initialize NVML: Driver/library version mismatch\n", 18);
  const Finding finding = check_gpu(host);
  CHECK(finding.verdict == Verdict::broken);
  CHECK(finding.found.contains("18"));
  CHECK(finding.found.contains("upgraded"));
  CHECK(finding.remedy.contains("restart the host"));
}

TEST_CASE_METHOD(GpuFixture,
                 "a driver that was upgraded without a restart is broken, even while its tool still answers") {
  put("dev/nvidiactl");
  tools.prints("nvidia-smi", "NVIDIA H200, 143771, GPU-a, 550.54.15\n");
  put("sys/module/nvidia/version", "550.54.15\n");
  put("usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.95.05");
  std::filesystem::create_symlink("libnvidia-ml.so.580.95.05",
                                  host.root / "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1");
  const Finding finding = check_gpu(host);
  CHECK(finding.verdict == Verdict::broken);
  CHECK(finding.found.contains("580.95.05"));
  CHECK(finding.remedy.contains("restart the host"));
}

TEST_CASE_METHOD(GpuFixture, "a GPU on the bus without a driver is broken") {
  put("sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n");
  put("sys/bus/pci/devices/0000:01:00.0/class", "0x030200\n");
  // A network card of the same make, and another maker's screen.
  put("sys/bus/pci/devices/0000:02:00.0/vendor", "0x10de\n");
  put("sys/bus/pci/devices/0000:02:00.0/class", "0x020000\n");
  put("sys/bus/pci/devices/0000:03:00.0/vendor", "0x1a03\n");
  put("sys/bus/pci/devices/0000:03:00.0/class", "0x030000\n");
  const Finding finding = check_gpu(host);
  CHECK(finding.verdict == Verdict::broken);
  CHECK(finding.found.starts_with("1 NVIDIA GPUs on the PCI bus"));
}

TEST_CASE_METHOD(GpuFixture, "without the container toolkit NVIDIA's GPUs do not reach a container") {
  put("dev/nvidiactl");
  CHECK(check_container_toolkit(host).verdict == Verdict::broken);
  CHECK(check_container_toolkit(host).remedy.contains("nvidia-container-toolkit"));
  tools.prints("nvidia-container-runtime-hook", "");
  CHECK(check_container_toolkit(host).verdict == Verdict::ok);
}

TEST_CASE_METHOD(GpuFixture, "with CDI Docker needs no hook of NVIDIA's") {
  put("dev/nvidiactl");
  SECTION("whose devices Docker knows") {
    engine.on("GET /info", [](const auto&, auto& reply) {
      reply.answer(200, R"({"DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]})");
    });
  }
  SECTION("whose devices are defined") { put("var/run/cdi/nvidia.yaml", "kind: nvidia.com/gpu\n- name: all\n"); }
  const Finding finding = check_container_toolkit(host);
  CHECK(finding.verdict == Verdict::ok);
  CHECK(finding.found.contains("CDI"));
}

TEST_CASE_METHOD(GpuFixture, "a CDI hook without devices is a warning that says how to define them") {
  put("dev/nvidiactl");
  tools.prints("nvidia-cdi-hook", "");
  const Finding finding = check_container_toolkit(host);
  CHECK(finding.verdict == Verdict::warning);
  CHECK(finding.remedy.contains("nvidia-ctk cdi generate"));
}

TEST_CASE_METHOD(GpuFixture, "AMD's are counted by their render nodes, no container is started") {
  put("dev/kfd");
  CHECK(check_gpu(host).verdict == Verdict::broken);
  put("dev/dri/by-path/pci-0000:03:00.0-render");
  put("dev/dri/by-path/pci-0000:03:00.0-card");
  put("sys/module/amdgpu/version", "6.7.0\n");
  CHECK(check_gpu(host) == ok("AMD, 1 render nodes, driver 6.7.0"));
  CHECK(check_container_toolkit(host).verdict == Verdict::ok);
  CHECK(engine.count("POST /containers/*") == 0);
}

TEST_CASE_METHOD(GpuFixture, "Tenstorrent's are counted by their device nodes") {
  put("dev/tenstorrent/0");
  put("dev/tenstorrent/1");
  put("sys/module/tenstorrent/version", "1.34\n");
  CHECK(check_gpu(host) == ok("Tenstorrent, 2 device nodes, driver 1.34"));
}

TEST_CASE_METHOD(GpuFixture, "Gaudi accelerators need Docker's runtime for them") {
  put("dev/accel/accel0");
  CHECK(check_gpu(host).verdict == Verdict::broken);
  tools.prints("hl-smi", "HL-225, 98304, 0\n");
  CHECK(check_gpu(host).verdict == Verdict::ok);
  CHECK(check_container_toolkit(host).verdict == Verdict::broken);
  engine.on("GET /info", [](const auto&, auto& reply) {
    reply.answer(200, R"({"Runtimes":{"runc":{"path":"runc"},"habana":{"path":"habana-container-runtime"}}})");
  });
  CHECK(check_container_toolkit(host).verdict == Verdict::ok);
}

}  // namespace dstack::shim::doctor
