#include "runner/metrics/cgroup.h"

#include <catch2/catch_test_macros.hpp>
#include <fstream>

#include "tests/support/temporary_directory.h"

namespace dstack::runner::metrics {

namespace {

// A file system root with just the files that matter.
class Root {
 public:
  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((folder_ / path).parent_path());
    std::ofstream(folder_ / path) << text;
  }
  void write_v2(const std::string& folder) {
    write(folder + "/cpu.stat", "usage_usec 1234567\nuser_usec 1\nsystem_usec 2\n");
    write(folder + "/memory.current", "1000000\n");
    write(folder + "/memory.stat", "anon 1\nfile 2\ninactive_file 300000\nactive_file 5\n");
    write(folder + "/memory.events", "low 0\nhigh 0\nmax 9\noom 2\noom_kill 3\n");
  }
  void write_v1(const std::string& cpu, const std::string& memory) {
    write(cpu + "/cpuacct.usage", "1234567890\n");
    write(memory + "/memory.usage_in_bytes", "1000000\n");
    write(memory + "/memory.stat", "inactive_file 1\ntotal_inactive_file 300000\n");
    write(memory + "/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
  }
  void check(std::uint64_t cpu_micro) const {
    const auto usage = read_cgroup_usage(folder_.path());
    REQUIRE(usage);
    CHECK(usage->cpu_micro == cpu_micro);
    CHECK(usage->memory_bytes == 1000000);
    CHECK(usage->working_set_bytes == 700000);
    CHECK(count_oom_kills(folder_.path()) == 3);
  }
  const std::filesystem::path& path() const { return folder_.path(); }

 private:
  test::TemporaryDirectory folder_;
};

constexpr const char* kV2Mount = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw,nsdelegate\n";

}  // namespace

TEST_CASE("version 2 in a namespace of its own") {
  Root root;
  root.write("proc/self/mountinfo", std::string("22 1 0:1 / / rw - overlay overlay rw\n") + kV2Mount);
  root.write("proc/self/cgroup", "0::/\n");
  root.write_v2("sys/fs/cgroup");
  root.check(1234567);
}

TEST_CASE("version 2 in the host's namespace") {
  Root root;
  root.write("proc/self/mountinfo", kV2Mount);
  root.write("proc/self/cgroup", "0::/docker/abc\n");
  root.write_v2("sys/fs/cgroup/docker/abc");
  root.check(1234567);
}

TEST_CASE("version 2 with just the container's group mounted") {
  Root root;
  root.write("proc/self/mountinfo", "30 23 0:26 /kubepods/pod1/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
  root.write("proc/self/cgroup", "0::/kubepods/pod1/abc\n");
  root.write_v2("sys/fs/cgroup");
  root.check(1234567);
}

TEST_CASE("version 2 in a group below the mounted one") {
  Root root;
  root.write("proc/self/mountinfo", "30 23 0:26 /pod /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
  root.write("proc/self/cgroup", "0::/pod/init\n");
  root.write_v2("sys/fs/cgroup/init");
  root.check(1234567);
}

TEST_CASE("version 1 in the host's namespace") {
  Root root;
  root.write("proc/self/mountinfo",
             "40 39 0:33 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
             "41 39 0:34 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
  root.write("proc/self/cgroup", "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n");
  root.write_v1("sys/fs/cgroup/cpu,cpuacct", "sys/fs/cgroup/memory");
  root.check(1234567);
}

TEST_CASE("version 1 in a namespace of its own, at a place with a blank in it") {
  Root root;
  root.write("proc/self/mountinfo",
             "40 39 0:33 / /cg\\040roups/cpuacct ro shared:1 master:2 - cgroup cgroup rw,cpuacct\n"
             "41 39 0:34 / /cg\\040roups/memory ro - cgroup cgroup rw,memory\n");
  root.write("proc/self/cgroup", "5:memory:/\n4:cpuacct:/\n");
  root.write_v1("cg roups/cpuacct", "cg roups/memory");
  root.check(1234567);
}

TEST_CASE("a hybrid system's controllers are those of version 1") {
  Root root;
  root.write("proc/self/mountinfo", std::string("29 23 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n") +
                                        "40 39 0:33 / /sys/fs/cgroup/cpuacct ro - cgroup cgroup rw,cpuacct\n" +
                                        "41 39 0:34 / /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
  root.write("proc/self/cgroup", "5:memory:/\n4:cpuacct:/\n0::/\n");
  root.write("sys/fs/cgroup/unified/cpu.stat", "usage_usec 1\n");
  root.write_v1("sys/fs/cgroup/cpuacct", "sys/fs/cgroup/memory");
  root.check(1234567);
}

TEST_CASE("no cgroup, half of one, or nonsense in its files is nothing") {
  Root root;
  CHECK_FALSE(read_cgroup_usage(root.path()));
  root.write("proc/self/mountinfo", kV2Mount);
  root.write("proc/self/cgroup", "0::/\n");
  CHECK_FALSE(read_cgroup_usage(root.path()));
  CHECK_FALSE(count_oom_kills(root.path()));
  root.write_v2("sys/fs/cgroup");
  root.write("sys/fs/cgroup/memory.current", "max\n");
  CHECK_FALSE(read_cgroup_usage(root.path()));
}

TEST_CASE("more inactive pages than memory in use leave no working set") {
  Root root;
  root.write("proc/self/mountinfo", kV2Mount);
  root.write("proc/self/cgroup", "0::/\n");
  root.write_v2("sys/fs/cgroup");
  root.write("sys/fs/cgroup/memory.current", "200000\n");
  CHECK(read_cgroup_usage(root.path())->working_set_bytes == 0);
}

}  // namespace dstack::runner::metrics
