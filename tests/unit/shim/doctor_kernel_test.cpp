#include "shim/doctor/kernel_checks.h"
#include "tests/unit/shim/doctor_test.h"

namespace dstack::shim::doctor {

TEST_CASE_METHOD(DoctorFixture, "low limits of inotify and files are warnings that say how to raise them") {
  CHECK(check_limits(host).verdict == Verdict::ok);
  put("proc/sys/fs/inotify/max_user_instances", "128\n");
  put("proc/sys/fs/inotify/max_user_watches", "65536\n");
  put("proc/sys/fs/file-max", "9223372036854775807\n");
  CHECK(check_limits(host).verdict == Verdict::ok);
  put("proc/sys/fs/inotify/max_user_instances", "16\n");
  put("proc/sys/fs/file-max", "4096\n");
  const Finding finding = check_limits(host);
  CHECK(finding.verdict == Verdict::warning);
  CHECK(finding.found.starts_with("fs.inotify.max_user_instances is 16, fs.file-max is 4096"));
  CHECK(finding.remedy.contains("sysctl -w fs.inotify.max_user_instances="));
}

TEST_CASE_METHOD(DoctorFixture, "a shim that may open few files is a warning") {
  host.shim_pid = 41;
  const auto limits = [this](const std::string& soft) {
    put("proc/41/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        "Max open files            " +
            soft + "                  524288               files     \n");
    return check_limits(host);
  };
  CHECK(limits("1024").verdict == Verdict::ok);
  CHECK(limits("unlimited").verdict == Verdict::ok);
  CHECK(limits("256").verdict == Verdict::warning);
  CHECK(limits("256").remedy.contains("LimitNOFILE"));
}

TEST_CASE_METHOD(DoctorFixture, "a folder that is mounted noexec where programs have to run is a warning") {
  const std::string root = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n";
  put("proc/self/mountinfo", root + "30 22 0:30 / /tmp rw,nosuid,nodev - tmpfs tmpfs rw\n");
  CHECK(check_noexec(host).verdict == Verdict::ok);
  host.home = "/root/.dstack";
  put("proc/self/mountinfo", root +
                                 "30 22 0:30 / /tmp rw,nosuid,noexec - tmpfs tmpfs rw\n"
                                 "31 22 0:31 / /var rw,noexec - tmpfs tmpfs rw\n");
  const Finding finding = check_noexec(host);
  // Those of the home and the runner lie below a temporary folder.
  CHECK(finding.verdict == Verdict::warning);
  CHECK(finding.found.contains("/tmp"));
  CHECK_FALSE(finding.found.contains("/var"));
  // What is mounted over it counts.
  put("proc/self/mountinfo",
      root + "30 22 0:30 / /tmp rw,noexec - tmpfs tmpfs rw\n31 22 0:31 / /tmp rw - tmpfs tmpfs rw\n");
  CHECK(check_noexec(host).verdict == Verdict::ok);
}

TEST_CASE_METHOD(DoctorFixture, "a host with IPv6 only is a warning, since containers have IPv4") {
  const std::string header = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n";
  const std::string nothing = std::string(32, '0');
  const auto route6 = [&nothing](const std::string& interface) {
    return nothing + " 00 " + nothing + " 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 " +
           interface + "\n";
  };
  put("proc/net/route", header + "eth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\n");
  CHECK(check_network(host) == ok("IPv4"));
  put("proc/net/route", header + "eth0\t0002A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\n");
  put("proc/net/ipv6_route", route6("lo"));
  CHECK(check_network(host).found.starts_with("no default route"));
  put("proc/net/ipv6_route", route6("lo") + route6("eth0"));
  const Finding finding = check_network(host);
  CHECK(finding.verdict == Verdict::warning);
  CHECK(finding.found.starts_with("IPv6 only"));
}

}  // namespace dstack::shim::doctor
