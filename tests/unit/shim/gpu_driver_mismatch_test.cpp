#include "shim/gpu/driver_mismatch.h"

#include <catch2/catch_test_macros.hpp>
#include <fstream>

#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::shim::gpu;
namespace fs = std::filesystem;

namespace {

struct Fixture {
  test::TemporaryDirectory root;

  void file(const std::string& path, const std::string& content = "") const {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path) << content;
  }
  void library(const std::string& folder, const std::string& version) const {
    file(folder + "/libnvidia-ml.so." + version);
    fs::create_symlink("libnvidia-ml.so." + version, root / folder / "libnvidia-ml.so.1");
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a driver that was upgraded without a restart is found by its versions") {
  library("usr/lib/x86_64-linux-gnu", "550.144.03");
  CHECK_FALSE(find_driver_mismatch(root.path()));
  SECTION("by the module") { file("sys/module/nvidia/version", "550.54.15\n"); }
  SECTION("by the driver's own file") {
    file("proc/driver/nvidia/version",
         "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build  (dvs-builder@U16)\n"
         "GCC version:  gcc version 12.3.0\n");
  }
  const auto mismatch = find_driver_mismatch(root.path());
  REQUIRE(mismatch);
  CHECK(mismatch->contains("restart the host"));
  CHECK(mismatch->contains("550.54.15"));
  CHECK(mismatch->contains("550.144.03"));
}

TEST_CASE_METHOD(Fixture, "a driver whose library is of its version is as it should be") {
  file("sys/module/nvidia/version", "580.95.05\n");
  CHECK_FALSE(find_driver_mismatch(root.path()));
  library("usr/lib64", "580.95.05");
  // An old one for 32 bits, left behind.
  library("usr/lib", "470.82.01");
  CHECK_FALSE(find_driver_mismatch(root.path()));
}

TEST_CASE("tools and engines name a mismatch in their messages") {
  CHECK(names_driver_mismatch("Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 550"));
  CHECK(
      names_driver_mismatch("nvidia-container-cli: initialization error: nvml error: driver/library version mismatch"));
  CHECK_FALSE(names_driver_mismatch("No devices were found"));
}
