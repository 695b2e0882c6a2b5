#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>

#include "shim/metrics/pressure.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::shim::metrics;

TEST_CASE("what the host is short of is read from the kernel") {
  const test::TemporaryDirectory proc;
  std::filesystem::create_directories(proc / "pressure");
  std::filesystem::create_directories(proc / "sys/kernel");
  std::ofstream(proc / "pressure/cpu") << "some avg10=1.53 avg60=1.87 avg300=1.73 total=1088168194\n";
  std::ofstream(proc / "pressure/memory") << "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\n"
                                             "full avg10=0.00 avg60=0.00 avg300=0.00 total=250000\n";
  std::ofstream(proc / "meminfo")
      << "MemTotal:       16314616 kB\nMemFree:         1 kB\nMemAvailable:       1024 kB\n";
  std::ofstream(proc / "loadavg") << "0.20 0.18 0.12 1/803 11206\n";
  std::ofstream(proc / "sys/kernel/pid_max") << "4194304\n";
  Exposition exposition;
  write_pressure(exposition, {{.name = "home", .folder = proc / ""}, {.name = "gone", .folder = "/no/such/folder"}},
                 proc / "");
  const std::string& text = exposition.text();
  for (const char* line : {R"(dstack_shim_host_pressure_seconds_total{resource="cpu",kind="some"} 1088.168194)",
                           R"(dstack_shim_host_pressure_seconds_total{resource="memory",kind="full"} 0.25)",
                           "dstack_shim_host_memory_bytes 16706166784",
                           "dstack_shim_host_memory_available_bytes 1048576", "dstack_shim_host_pids 803",
                           "dstack_shim_host_pids_limit 4194304", R"(dstack_shim_host_disk_free_bytes{disk="home"})"}) {
    INFO(line);
    CHECK(text.contains(line));
  }
  CHECK_FALSE(text.contains("gone"));
}

TEST_CASE("a kernel without pressure stall information leaves that out") {
  const test::TemporaryDirectory proc;
  std::ofstream(proc / "loadavg") << "nonsense\n";
  std::ofstream(proc / "meminfo") << "MemTotal: lots\n";
  Exposition exposition;
  write_pressure(exposition, {}, proc / "");
  CHECK(exposition.text().empty());
}
