#include "shim/doctor/peer_check.h"

#include <format>

namespace dstack::shim::doctor {

Finding check_peer_look_up(const Host& host) {
  return judge_peer_look_up(host::try_peer_look_up(), host.allow_task_callers);
}

Finding judge_peer_look_up(const host::PeerLookUp& look_up, bool turned_off) {
  if (turned_off) {
    return warning("turned off by --allow-task-callers: a job in the host's network may call the shim",
                   "remove the flag, unless every job on this host is trusted like root");
  }
  if (look_up.active()) return ok(look_up.explanation);
  return warning(std::format("a job in the host's network may call the shim: {}", look_up.explanation),
                 "as root: `modprobe tcp_diag`, and name it in /etc/modules-load.d");
}

}  // namespace dstack::shim::doctor
