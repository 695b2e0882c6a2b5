#include <catch2/generators/catch_generators.hpp>

#include "shim/doctor/build_date.h"
#include "shim/doctor/system_checks.h"
#include "tests/support/fake_tools.h"
#include "tests/unit/shim/doctor_test.h"

namespace dstack::shim::doctor {

using namespace std::chrono_literals;

namespace {

// Noon of 2026-06-01.
constexpr os::WallTime kNoon{1'780'315'200s};

}  // namespace

TEST_CASE_METHOD(DoctorFixture, "the tools that volumes need are looked for, a missing one is named") {
  test::FakeTools tools;
  tools.hide_all_others();
  for (const char* name : {"mount", "umount", "mountpoint", "lsblk", "mkfs.ext4"}) tools.prints(name, "");
  const Finding finding = check_tools(host);
  CHECK(finding.verdict == Verdict::warning);
  CHECK(finding.found.starts_with("not on PATH: blkid;"));
  CHECK(finding.remedy.contains("util-linux"));
  tools.prints("blkid", "");
  CHECK(check_tools(host) == ok("mount, umount, mountpoint, lsblk, blkid, mkfs.ext4"));
  CHECK(tools.calls("mkfs.ext4") == 0);
}

TEST_CASE_METHOD(DoctorFixture, "without a program that unpacks on all cores pulls are slow") {
  test::FakeTools tools;
  tools.hide_all_others();
  CHECK(check_unpigz(host).verdict == Verdict::warning);
  CHECK(check_unpigz(host).remedy.contains("pigz"));
  // Docker's own image store does not use it.
  tools.prints("igzip", "");
  CHECK(check_unpigz(host).verdict == Verdict::warning);
  engine.on("GET /info", [](const auto&, auto& reply) {
    reply.answer(200, R"({"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]})");
  });
  CHECK(check_unpigz(host).found.ends_with("/igzip"));
  tools.prints("unpigz", "");
  CHECK(check_unpigz(host).found.ends_with("/igzip"));
  engine.on("GET /info", [](const auto&, auto& reply) { reply.answer(200, "{}"); });
  CHECK(check_unpigz(host).found.ends_with("/unpigz"));
}

TEST_CASE("a clock that is synchronised is fine, one that is not is a warning") {
  CHECK(judge_clock(kNoon, kNoon - 24h, true, "chronyd") == ok("2026-06-01 12:00 UTC, synchronised"));
  CHECK(judge_clock(kNoon, std::nullopt, std::nullopt, std::nullopt) == ok("2026-06-01 12:00 UTC"));
  const Finding finding = judge_clock(kNoon, kNoon - 24h, false, std::nullopt);
  CHECK(finding.verdict == Verdict::warning);
  CHECK(finding.remedy.contains("timedatectl set-ntp true"));
}

TEST_CASE_METHOD(DoctorFixture, "where NTP is on and reaches no server, switching it on is not the advice") {
  put("proc/41/comm", "bash\n");
  CHECK_FALSE(time_daemon(host.root / "proc"));
  put("proc/42/comm", "systemd-timesyn\n");
  CHECK(time_daemon(host.root / "proc") == "systemd-timesyncd");
  const Finding finding = judge_clock(kNoon, kNoon - 24h, false, time_daemon(host.root / "proc"));
  CHECK(finding.verdict == Verdict::warning);
  CHECK(finding.remedy.starts_with("systemd-timesyncd runs"));
  CHECK(finding.remedy.contains("network"));
  CHECK_FALSE(finding.remedy.contains("set-ntp"));
}

TEST_CASE("a clock that is before the program was built is wrong, whatever the kernel says") {
  const Finding finding = judge_clock(kNoon - 24h, kNoon, true, std::nullopt);
  CHECK(finding.verdict == Verdict::warning);
  CHECK(finding.found.starts_with("2026-05-31 12:00 UTC, which is before"));
  CHECK(finding.remedy.contains("timedatectl"));
}

TEST_CASE("a build knows its date, if it knows one, as a moment in the past") {
  if (const auto built = build_date()) {
    CHECK(*built > os::WallTime(1'700'000'000s));
  } else {
    SUCCEED("not built from a git checkout");
  }
}

TEST_CASE_METHOD(DoctorFixture, "a runner is what says that it is one") {
  const auto [script, verdict] = GENERATE(table<std::string, Verdict>({
      {"echo dstack-runner version 0.22.5", Verdict::ok},
      {"echo dstack-shim version 0.22.5", Verdict::broken},
      {"echo dstack-runner", Verdict::broken},
      {"echo dstack-runner version 1 and more", Verdict::broken},
      {"exit 3", Verdict::broken},
  }));
  write(host.runner_binary, "#!/bin/sh\n" + script + "\n");
  std::filesystem::permissions(host.runner_binary, std::filesystem::perms::owner_all);
  const Finding finding = check_runner(host);
  CHECK(finding.verdict == verdict);
  CHECK(finding.found.starts_with(host.runner_binary.string()));
}

TEST_CASE_METHOD(DoctorFixture, "a runner that is not there may come, one that cannot be executed is broken") {
  CHECK(check_runner(host).verdict == Verdict::warning);
  write(host.runner_binary, "#!/bin/sh\n");
  CHECK(check_runner(host).verdict == Verdict::broken);
}

}  // namespace dstack::shim::doctor
