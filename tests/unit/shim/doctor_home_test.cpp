#include "shim/doctor/home_check.h"

#include "tests/support/loop_device.h"
#include "tests/unit/shim/doctor_test.h"

namespace dstack::shim::doctor {

TEST_CASE_METHOD(DoctorFixture, "a home that can be written is fine, and nothing is left in it") {
  CHECK(check_home(host) == ok(host.home.string()));
  CHECK_FALSE(std::filesystem::exists(host.home));
  std::filesystem::create_directories(host.home);
  CHECK(check_home(host) == ok(host.home.string()));
  CHECK(std::filesystem::is_empty(host.home));
}

TEST_CASE_METHOD(DoctorFixture, "a home below a file is broken") {
  write(folder / "file", "");
  host.home = folder / "file/home";
  const Finding finding = check_home(host);
  CHECK(finding.verdict == Verdict::broken);
  CHECK(finding.remedy.contains("DSTACK_SHIM_HOME"));
}

TEST_CASE_METHOD(DoctorFixture, "a home on a read-only disk is broken, and so is one on a full disk") {
  if (!test::LoopDevice::available()) return;
  std::filesystem::create_directories(host.home);
  test::run({"mount", "-t", "tmpfs", "-o", "nr_inodes=2", "test", host.home.string()});
  write(host.home / "file", "");
  const Finding full = check_home(host);
  test::run({"mount", "-o", "remount,ro", host.home.string()});
  const Finding read_only = check_home(host);
  test::run({"umount", host.home.string()});
  CHECK(full.verdict == Verdict::broken);
  CHECK(full.found.contains("No space left"));
  CHECK(read_only.verdict == Verdict::broken);
  CHECK(read_only.found.contains("read-only"));
  CHECK(read_only.remedy.contains("fsck"));
}

}  // namespace dstack::shim::doctor
