#include "shim/doctor/engine_checks.h"

#include <future>

#include "tests/support/fake_clock.h"
#include "tests/unit/shim/doctor_test.h"

namespace dstack::shim::doctor {

using namespace std::chrono_literals;

TEST_CASE_METHOD(DoctorFixture, "Docker is told with its version and its address") {
  const Finding finding = check_docker(host);
  CHECK(finding == ok("Docker 25.0.0, API 1.44, at unix://" + engine.socket_path()));
}

TEST_CASE_METHOD(DoctorFixture, "a Docker that is not there is broken, its socket is named") {
  engine.die();
  const Finding finding = check_docker(host);
  CHECK(finding.verdict == Verdict::broken);
  CHECK(finding.found.contains(engine.socket_path()));
  CHECK(finding.remedy.contains("systemctl start docker"));
}

TEST_CASE_METHOD(DoctorFixture, "a Docker that hangs is given up after five seconds") {
  test::FakeClock clock;
  host.engine = std::make_shared<docker::EngineClient>(docker::engine_at_socket(engine.socket_path()), clock);
  engine.on("GET /_ping", [](const auto&, auto& reply) { reply.hang(); });
  auto result = std::async(std::launch::async, [this] { return check_docker(host); });
  engine.await("GET /_ping");
  clock.await_deadline_within(5s);
  clock.advance(5s);
  const Finding finding = result.get();
  CHECK(finding.verdict == Verdict::broken);
  CHECK(finding.remedy.starts_with("it hangs"));
  host.engine.reset();  // before its clock
}

TEST_CASE_METHOD(DoctorFixture, "an address that makes no sense is broken, the variable is named") {
  host.engine = nullptr;
  host.engine_trouble = "DOCKER_HOST: \"ftp://x\" is neither unix:// nor tcp://";
  CHECK(check_docker(host).verdict == Verdict::broken);
  CHECK(check_docker(host).found == host.engine_trouble);
}

TEST_CASE_METHOD(DoctorFixture, "an engine that is too old is broken, and says so") {
  engine.set_api_version("1.40");
  const Finding finding = check_docker(host);
  CHECK(finding.verdict == Verdict::broken);
  CHECK(finding.found.contains("1.40"));
  CHECK(finding.remedy.contains("upgrade"));
  CHECK_FALSE(finding.remedy.contains("install Docker"));
}

TEST_CASE_METHOD(DoctorFixture,
                 "an engine that is too new for this shim is broken, and it is not Docker that is missing") {
  engine.set_api_version("9.2", "9.1");
  const Finding finding = check_docker(host);
  CHECK(finding.verdict == Verdict::broken);
  CHECK(finding.found.contains("9.1"));
  CHECK_FALSE(finding.remedy.contains("install Docker"));
}

TEST_CASE_METHOD(DoctorFixture, "the version of cgroups is the engine's word") {
  CHECK(check_cgroups(host) == ok("version 2"));
  engine.on("GET /info", [](const auto&, auto& reply) { reply.answer(200, R"({"CgroupVersion":"1"})"); });
  CHECK(check_cgroups(host).verdict == Verdict::warning);
}

TEST_CASE_METHOD(DoctorFixture, "without Docker the version of cgroups is that of the mounts") {
  engine.die();
  CHECK(check_cgroups(host).verdict == Verdict::warning);
  put("sys/fs/cgroup/cgroup.controllers", "cpu memory");
  CHECK(check_cgroups(host) == ok("version 2"));
}

TEST_CASE("a disk that fills is a warning, a full one broken") {
  constexpr std::uint64_t gib = 1 << 30;
  CHECK(judge_disk("/var/lib/docker", {.free = 100 * gib, .total = 200 * gib}) ==
        ok("100.0 GiB of 200.0 GiB free in /var/lib/docker"));
  CHECK(judge_disk("/d", {.free = 19 * gib, .total = 200 * gib}).verdict == Verdict::warning);
  CHECK(judge_disk("/d", {.free = gib, .total = 200 * gib}).verdict == Verdict::broken);
  CHECK(judge_disk("/d", {.free = gib, .total = 200 * gib}).remedy.contains("docker image prune"));
}

TEST_CASE("on a disk that is merely small there is nothing to prune") {
  constexpr std::uint64_t gib = 1 << 30;
  const Finding finding = judge_disk("/d", {.free = 15 * gib, .total = 20 * gib});
  CHECK(finding.verdict == Verdict::warning);
  CHECK_FALSE(finding.remedy.contains("prune"));
  CHECK(finding.remedy.contains("data-root"));
}

TEST_CASE("a disk without inodes is full, whatever its bytes") {
  constexpr std::uint64_t gib = 1 << 30;
  DiskSpace space{.free = 100 * gib, .total = 200 * gib, .free_inodes = 50'000, .total_inodes = 1'000'000};
  CHECK(judge_disk("/d", space).verdict == Verdict::ok);
  space.free_inodes = 900;
  CHECK(judge_disk("/d", space).verdict == Verdict::warning);
  space.free_inodes = 0;
  CHECK(judge_disk("/d", space).verdict == Verdict::broken);
  CHECK(judge_disk("/d", space).found == "0 of 1000000 inodes free in /d");
  // btrfs counts none.
  space.total_inodes = 0;
  CHECK(judge_disk("/d", space).verdict == Verdict::ok);
}

TEST_CASE_METHOD(DoctorFixture, "the disk is the one on which images are unpacked") {
  const std::string images = (folder / "images").string();
  std::filesystem::create_directories(host.root.string() + images);
  std::filesystem::create_directories(images);
  put("etc/containerd/config.toml", "root = \"" + images + "\"\n");
  engine.on("GET /info", [](const auto&, auto& reply) {
    reply.answer(200, R"({"DockerRootDir": "/", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
                          "Containerd": {"Address": "/run/containerd/containerd.sock"}})");
  });
  CHECK(check_disk(host).found.ends_with("free in " + images));
}

TEST_CASE_METHOD(DoctorFixture, "ways to run Docker in which tasks fail are named") {
  const auto finding = [this](const std::string& info) {
    engine.on("GET /info", [info](const auto&, auto& reply) { reply.answer(200, info); });
    return check_engine_mode(host);
  };
  CHECK(
      finding(R"({"DockerRootDir": "/var/lib/docker", "SecurityOptions": ["name=seccomp,profile=builtin"]})").verdict ==
      Verdict::ok);
  const Finding rootless = finding(R"({"SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"]})");
  CHECK(rootless.verdict == Verdict::broken);
  CHECK(rootless.found.starts_with("rootless"));
  const Finding snap = finding(R"({"DockerRootDir": "/var/snap/docker/common/var-lib-docker"})");
  CHECK(snap.verdict == Verdict::broken);
  CHECK(snap.remedy.contains("snap remove docker"));
  const Finding remapped = finding(R"({"SecurityOptions": ["name=userns"]})");
  CHECK(remapped.verdict == Verdict::warning);
  CHECK(remapped.found.contains("userns-remap"));
  const char* selinux = R"({"SecurityOptions": ["name=selinux"]})";
  CHECK(finding(selinux).verdict == Verdict::ok);
  put("sys/fs/selinux/enforce", "1");
  CHECK(finding(selinux).verdict == Verdict::ok);
  CHECK(finding(selinux).found.contains("SELinux is on"));
  engine.die();
  CHECK(check_engine_mode(host).verdict == Verdict::warning);
}

TEST_CASE_METHOD(DoctorFixture, "without live-restore a restart of Docker ends all tasks") {
  CHECK(check_live_restore(host).verdict == Verdict::warning);
  CHECK(check_live_restore(host).remedy.contains("live-restore"));
  engine.on("GET /info", [](const auto&, auto& reply) { reply.answer(200, R"({"LiveRestoreEnabled": true})"); });
  CHECK(check_live_restore(host).verdict == Verdict::ok);
}

TEST_CASE_METHOD(DoctorFixture, "the disk is Docker's, or else the one that the home is to lie on") {
  const std::string docker_root = ask_engine(host).root_directory;
  CHECK(check_disk(host).found.ends_with("free in " + docker_root));
  engine.die();
  CHECK(check_disk(host).found.ends_with("free in " + folder.path().string()));
  CHECK_FALSE(std::filesystem::exists(host.home));
}

}  // namespace dstack::shim::doctor
