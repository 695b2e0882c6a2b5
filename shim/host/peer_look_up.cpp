#include "shim/host/peer_look_up.h"

#include <format>

#include "common/error.h"
#include "common/os/cgroup2.h"
#include "common/os/tcp_sockets.h"

namespace dstack::shim::host {

PeerLookUp try_peer_look_up() {
  const auto socket = os::try_tcp_look_up();
  if (!socket) {
    const bool missing = socket.error() == std::errc::no_such_file_or_directory;
    return {.means = PeerLookUp::Means::none,
            .explanation = std::format("the kernel does not tell sockets{}: {}",
                                       missing ? " (its module tcp_diag is missing)" : "", socket.error().message())};
  }
  const auto hierarchy = os::Cgroup2::find();
  if (!hierarchy || !socket->cgroup_id || !hierarchy->path_of(*socket->cgroup_id)) {
    const char* why = !hierarchy           ? "no cgroup2 hierarchy is mounted"
                      : !socket->cgroup_id ? "the kernel does not tell a socket's cgroup"
                                           : "a cgroup's path cannot be found by its id";
    return {.means = PeerLookUp::Means::processes,
            .explanation = std::format("by the socket's process, since {}", why)};
  }
  return {.means = PeerLookUp::Means::cgroups,
          .explanation = std::format("by the socket's cgroup in {}", hierarchy->mount().string())};
}

}  // namespace dstack::shim::host
