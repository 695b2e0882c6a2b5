#include <catch2/catch_test_macros.hpp>

#include "shim/doctor/peer_check.h"

namespace dstack::shim::doctor {

using Means = host::PeerLookUp::Means;

TEST_CASE("a look-up of callers by either means is fine, in its own words") {
  CHECK(judge_peer_look_up({Means::cgroups, "by the cgroup"}, false) == ok("by the cgroup"));
  CHECK(judge_peer_look_up({Means::processes, "by the process"}, false) == ok("by the process"));
}

TEST_CASE("callers that cannot be told apart are a warning with the reason") {
  const Finding finding = judge_peer_look_up({Means::none, "sock_diag is not available"}, false);
  CHECK(finding.verdict == Verdict::warning);
  CHECK(finding.found.ends_with(": sock_diag is not available"));
  CHECK(finding.remedy.contains("modprobe tcp_diag"));
}

TEST_CASE("a look-up that is turned off is a warning that names the flag") {
  const Finding finding = judge_peer_look_up({Means::cgroups, "by the cgroup"}, true);
  CHECK(finding.verdict == Verdict::warning);
  CHECK(finding.found.contains("--allow-task-callers"));
}

}  // namespace dstack::shim::doctor
