#include <unistd.h>

#include "shim/doctor/capability_check.h"
#include "tests/unit/shim/doctor_test.h"

namespace dstack::shim::doctor {

namespace {

constexpr std::uint64_t kAll = 0x1ffffffffff;
constexpr std::uint64_t kSetuid = std::uint64_t{1} << 7;

}  // namespace

TEST_CASE("the permitted set is read, not the bounding set") {
  const char* status =
      "Name:\tdstack-shim\nCapInh:\t0000000000000000\nCapPrm:\t00000000a82c35eb\nCapEff:\t0\nCapBnd:\tff\n";
  CHECK(permitted_capabilities(status) == 0xa82c35eb);
  CHECK_FALSE(permitted_capabilities("Name:\tx\n"));
}

TEST_CASE("a running shim without CAP_SETUID is broken, whatever this process may do") {
  const Finding finding = judge_capabilities(kAll & ~kSetuid, kAll);
  CHECK(finding.verdict == Verdict::broken);
  CHECK(finding.found.starts_with("the running dstack-shim lacks CAP_SETUID:"));
  CHECK(finding.remedy.contains("User="));
  CHECK(judge_capabilities(kAll, kAll & ~kSetuid).verdict == Verdict::ok);
}

TEST_CASE("without a running shim this process stands for one, if it is root") {
  CHECK(judge_capabilities(std::nullopt, kAll).verdict == Verdict::ok);
  const Finding finding = judge_capabilities(std::nullopt, kAll & ~kSetuid);
  CHECK(finding.verdict == Verdict::warning);
  CHECK(finding.found.contains("CAP_SETUID"));
  CHECK(judge_capabilities(std::nullopt, std::nullopt).verdict == Verdict::ok);
}

TEST_CASE_METHOD(DoctorFixture, "the capabilities are those of the shim that answers") {
  host.shim_pid = 41;
  put("proc/41/status", "CapPrm:\t0000000000000000\n");
  put("proc/self/status", "CapPrm:\t000001ffffffffff\n");
  CHECK(check_capabilities(host).verdict == Verdict::broken);
  host.shim_pid.reset();
  CHECK(check_capabilities(host).verdict == Verdict::ok);
}

}  // namespace dstack::shim::doctor
