#include "shim/host/peer_look_up.h"

#include <cstdint>
#include <format>
#include <optional>

#include "common/error.h"
#include "common/os/cgroup2.h"
#include "common/os/tcp_sockets.h"

namespace dstack::shim::host {

PeerLookUp try_peer_look_up() {
  const auto socket = os::try_tcp_look_up();
  if (!socket) {
    const bool missing = socket.error() == std::errc::no_such_file_or_directory;
    return {.means = PeerLookUp::Means::none,
            .explanation = std::format("sock_diag is not available{}: {}",
                                       missing ? " (its module tcp_diag is missing)" : "", socket.error().message())};
  }
  const auto in_processes = [](const char* why) {
    return PeerLookUp{.means = PeerLookUp::Means::processes,
                      .explanation = std::format("by socket process, since {}", why)};
  };
  const auto hierarchy = os::Cgroup2::find();
  if (!hierarchy) return in_processes("no cgroup2 hierarchy is mounted");
  const std::optional<std::uint64_t> cgroup = socket->cgroup_id;
  if (!cgroup) return in_processes("sock_diag does not report a socket's cgroup");
  if (!hierarchy->path_of(*cgroup)) return in_processes("a cgroup's path cannot be found by its id");
  return {.means = PeerLookUp::Means::cgroups,
          .explanation = std::format("by socket cgroup ({})", hierarchy->mount().string())};
}

}  // namespace dstack::shim::host
