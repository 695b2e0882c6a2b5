#include "shim/host/other_shims.h"

#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <format>
#include <fstream>

#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::shim::host;
namespace fs = std::filesystem;

namespace {

// The processes of a host.
struct Processes {
  test::TemporaryDirectory proc;

  Processes() {
    fs::create_directories(proc / "self/ns");
    fs::create_symlink("pid:[4026531836]", proc / "self/ns/pid");
  }

  struct Process {
    std::string name = "dstack-shim";
    int parent = 1;
    int uid = 0;
    std::string pid_namespace = "pid:[4026531836]";
    std::string open_file = "/root/.dstack/shim.log";
  };
  void add(int id, const Process& process) const {
    const fs::path folder = proc / std::to_string(id);
    fs::create_directories(folder / "ns");
    fs::create_directories(folder / "fd");
    std::ofstream(folder / "stat") << std::format("{} ({}) S {} 1 1 0 -1", id, process.name, process.parent);
    std::ofstream(folder / "status") << std::format("Name:\tx\nUid:\t{0}\t{0}\t{0}\t{0}\nGid:\t0\n", process.uid);
    fs::create_symlink(process.pid_namespace, folder / "ns/pid");
    fs::create_symlink("/dev/null", folder / "fd/0");
    fs::create_symlink(process.open_file, folder / "fd/3");
  }
  bool another_runs() const { return another_shim_runs(proc.path()); }
};

}  // namespace

TEST_CASE_METHOD(Processes, "another shim is a process of root's with a home's log open") {
  CHECK_FALSE(another_runs());
  add(11, {.name = "bash"});
  CHECK_FALSE(another_runs());
  SECTION("ours or the reference's") { add(12, {}); }
  SECTION("a release, whose name is cut by the kernel") { add(12, {.name = "dstack-shim-lin"}); }
  CHECK(another_runs());
}

TEST_CASE_METHOD(Processes, "a process that only calls itself a shim is not one") {
  SECTION("a job's, in a container") { add(12, {.pid_namespace = "pid:[4026532999]"}); }
  SECTION("a user's") { add(12, {.uid = 1000}); }
  SECTION("one without a home") { add(12, {.open_file = "/tmp/shim.log.txt"}); }
  SECTION("a child of this process") { add(12, {.parent = ::getpid()}); }
  SECTION("this process") { add(::getpid(), {}); }
  SECTION("one whose stat is cut short") {
    add(12, {});
    std::ofstream(proc / "12/stat") << "12 (dstack-shim) ";
  }
  CHECK_FALSE(another_runs());
}
