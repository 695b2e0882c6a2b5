#pragma once

#include <string>

namespace dstack::shim::host {

// By what means this process can find out who is at the other end of a connection from this host.
struct PeerLookUp {
  enum class Means {
    none,       // every caller is served: sock_diag is not available, `explanation` has its reason
    processes,  // by the process that has the socket open: no cgroup2 hierarchy to name its container by
    cgroups,    // by the cgroup that the socket was made in, and by process for containers outside cgroup2
  };
  Means means = Means::none;
  std::string explanation;  // a line for a person, without an end of line

  bool active() const { return means != Means::none; }
};

// Tries it with a connection of its own; needs no running shim, but the shim's rights (root on the host).
PeerLookUp try_peer_look_up();

}  // namespace dstack::shim::host
