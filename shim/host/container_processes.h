#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/os/tcp_sockets.h"

namespace dstack::shim::host {

// Full ids of containers, as the engine gives them out: 64 hex digits that nobody guesses.
using ContainerIds = std::set<std::string>;

// The container whose cgroup this path is, or lies below: engines call a container's cgroup "<id>",
// "docker-<id>.scope", "libpod-<id>.scope". Nothing if it is none of these.
std::optional<std::string> container_in(std::string_view cgroup_path, const ContainerIds& containers);

// The processes of this host with the containers they are in, as /proc tells them at the time of a call: a process is
// in a container if any of its cgroups is the container's, or lies below it. Members from any thread; they throw Error
// when descriptors or memory have run out.
class ContainerProcesses {
 public:
  explicit ContainerProcesses(std::filesystem::path proc = "/proc");

  enum class Holder {
    outsider,    // a process outside of these containers has it
    insider,     // only processes inside
    no_process,  // it is closed, or under way between two of them
    unknown,     // none inside, and not every process outside can be seen
  };
  // Who has the socket open. Outsiders come first, since a job could make the search among its own processes long;
  // Where all outsiders can be seen, insider and no_process cannot be told apart, and no_process is the answer.
  Holder holder_of(std::uint64_t socket_inode, const ContainerIds& containers) const;

  // Those of the containers that have a cgroup of their own in the cgroup2 hierarchy, as far as they have processes.
  ContainerIds told_by_cgroup2(const ContainerIds& containers) const;

  // The container with a connection of which this is the container's own end, in a network namespace of its own.
  std::optional<std::string> container_with(const os::TcpEnd& end, const ContainerIds& containers) const;

 private:
  enum class Held { yes, no, cannot_see };

  std::vector<std::string> pids() const;
  std::string cgroups_of(const std::string& pid) const;
  Held holds(const std::string& pid, const std::string& socket) const;

  const std::filesystem::path proc_;
  const bool sees_all_;
  mutable std::atomic<int> last_outsider_ = 0;  // an SSH server's process asks again and again
};

}  // namespace dstack::shim::host
