#pragma once

#include <expected>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include "common/os/cgroup2.h"
#include "common/os/mutex.h"
#include "common/os/tcp_sockets.h"
#include "shim/host/container_processes.h"

namespace dstack::shim::host {

// A container of a task that is made and not known to have ended.
struct TaskContainer {
  std::string id;  // the engine's, in full
  bool host_network = false;
};

// What the guard asks of the system; tests put something else in.
struct PeerSystem {
  using Found = std::expected<os::TcpSocket, std::error_code>;
  std::function<Found(const os::TcpEnd& own, const os::TcpEnd& other)> find_socket = os::find_tcp_socket;
  std::function<Found()> try_look_up = os::try_tcp_look_up;
  std::optional<os::Cgroup2> cgroups = os::Cgroup2::find();
  std::filesystem::path proc = "/proc";
};

// Tells whether a connection's other end is inside a task's container: the API is root on the host for whoever reaches
// it, and a job in the host's network reaches it. Where this cannot be found out at all, everybody may call, which is
// said once in the log: it must never lock the server out. See docs/decisions/0008-who-may-call.md.
//
// Members from any thread. Without a task's container a look-up costs nothing.
class PeerGuard {
 public:
  // `containers` is called with each look-up.
  explicit PeerGuard(std::function<std::vector<TaskContainer>()> containers, PeerSystem system = {});

  // `own` is this process's end of the connection. What is true stays true for as long as the connection lasts. Throws
  // Error (internal) when descriptors or memory have run out, which a job could bring about: that is no reason to
  // serve.
  bool may_call(const os::TcpEnd& own, const os::TcpEnd& peer);

 private:
  struct Containers;

  bool socket_may_call(const os::TcpSocket& socket, const Containers& containers);
  bool missing_socket_may_call(const os::TcpEnd& peer, const Containers& containers);
  // Whether a socket's cgroup is enough to know that it is in none of these.
  bool are_told_by_cgroup(const ContainerIds& containers);
  bool serve_in_doubt(const std::error_code& reason);
  bool refuse(const std::string& who);

  const std::function<std::vector<TaskContainer>()> containers_;
  const PeerSystem system_;
  const ContainerProcesses processes_;

  os::Mutex mutex_;
  ContainerIds told_by_cgroup_ DSTACK_GUARDED_BY(mutex_);     // of those that run
  std::set<std::string> reported_ DSTACK_GUARDED_BY(mutex_);  // what the log has been told
};

}  // namespace dstack::shim::host
