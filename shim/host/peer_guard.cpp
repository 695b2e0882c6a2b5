#include "shim/host/peer_guard.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>
#include <format>
#include <memory>

#include "common/error.h"

namespace dstack::shim::host {

namespace {

constexpr std::size_t kReportedLimit = 1000;
constexpr const char* kUnknownProcess = "an unknown process (the socket is closed)";

bool is_loopback(const std::string& address) {
  in_addr four{};
  if (::inet_pton(AF_INET, address.c_str(), &four) == 1) return (ntohl(four.s_addr) >> 24) == 127;
  return address == "::1";
}

bool matches(const sockaddr* interface, const std::string& address) {
  if (interface == nullptr) return false;
  char text[INET6_ADDRSTRLEN] = "";
  if (interface->sa_family == AF_INET) {
    ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(interface)->sin_addr, text, sizeof text);
  } else if (interface->sa_family == AF_INET6) {
    ::inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(interface)->sin6_addr, text, sizeof text);
  }
  return address == text;
}

// Whether it is an address of this network namespace, so that its sockets are to be found here.
bool is_own_address(const std::string& address) {
  if (is_loopback(address)) return true;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) throw os_error("list", "the host's addresses");
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, ::freeifaddrs);
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (matches(entry->ifa_addr, address)) return true;
  }
  return false;
}

bool is_absent(const std::error_code& reason) { return reason == std::errc::no_such_file_or_directory; }

}  // namespace

// The containers of one look-up.
struct PeerGuard::Containers {
  ContainerIds all;
  ContainerIds host_network;

  explicit Containers(const std::vector<TaskContainer>& list) {
    for (const TaskContainer& container : list) {
      all.insert(container.id);
      if (container.host_network) host_network.insert(container.id);
    }
  }
};

PeerGuard::PeerGuard(std::function<std::vector<TaskContainer>()> containers, PeerSystem system)
    : containers_(std::move(containers)), system_(std::move(system)), processes_(system_.proc) {}

bool PeerGuard::may_call(const os::TcpEnd& own, const os::TcpEnd& peer) {
  const Containers containers(containers_());
  if (containers.all.empty()) return true;
  const auto socket = system_.find_socket(peer, own);
  if (socket) return socket_may_call(*socket, containers);
  if (is_absent(socket.error())) return missing_socket_may_call(peer, containers);
  return serve_in_doubt(socket.error());
}

bool PeerGuard::socket_may_call(const os::TcpSocket& socket, const Containers& containers) {
  std::optional<std::string> cgroup;
  if (socket.cgroup_id && system_.cgroups) cgroup = system_.cgroups->path_of(*socket.cgroup_id);
  // Kernels before 5.15 say the root of every socket once a net_cls or net_prio cgroup is in use.
  if (cgroup == "/") cgroup.reset();
  if (cgroup) {
    if (const auto container = container_in(*cgroup, containers.all)) return refuse("container " + *container);
  }
  if (containers.host_network.empty()) return true;
  if (socket.inode == 0) return refuse(kUnknownProcess);
  if (cgroup && are_told_by_cgroup(containers.host_network)) return true;
  switch (processes_.holder_of(socket.inode, containers.all)) {
    case ContainerProcesses::Holder::outsider:
    case ContainerProcesses::Holder::unknown: return true;
    case ContainerProcesses::Holder::insider:
    case ContainerProcesses::Holder::no_process: break;
  }
  return refuse("no process outside the tasks' containers");
}

bool PeerGuard::missing_socket_may_call(const os::TcpEnd& peer, const Containers& containers) {
  if (!is_own_address(peer.address)) {
    const auto container = processes_.container_with(peer, containers.all);
    return !container || refuse("container " + *container);
  }
  if (containers.host_network.empty()) return true;
  // Either its owner is gone, or the kernel finds nothing at all.
  const auto tried = system_.try_look_up();
  return tried ? refuse(kUnknownProcess) : serve_in_doubt(tried.error());
}

bool PeerGuard::are_told_by_cgroup(const ContainerIds& containers) {
  const os::Lock lock(mutex_);
  if (std::ranges::includes(told_by_cgroup_, containers)) return true;
  told_by_cgroup_ = processes_.told_by_cgroup2(containers);
  return std::ranges::includes(told_by_cgroup_, containers);
}

bool PeerGuard::serve_in_doubt(const std::error_code& reason) {
  for (const std::errc shortage :
       {std::errc::too_many_files_open, std::errc::too_many_files_open_in_system, std::errc::not_enough_memory,
        std::errc::no_buffer_space, std::errc::resource_unavailable_try_again, std::errc::address_in_use}) {
    if (reason == shortage) throw os_error("look up", "the caller's socket", reason.value());
  }
  const os::Lock lock(mutex_);
  if (reported_.insert("doubt").second)
    spdlog::warn("API callers cannot be checked: containers can call the API: sock_diag is not available: {}",
                 is_absent(reason) ? "tcp_diag is missing" : reason.message());
  return true;
}

bool PeerGuard::refuse(const std::string& who) {
  const os::Lock lock(mutex_);
  if (reported_.size() >= kReportedLimit) reported_.clear();
  const auto level = reported_.insert(who).second ? spdlog::level::warn : spdlog::level::debug;
  spdlog::log(level, "Refused an API call from {}", who);
  return false;
}

}  // namespace dstack::shim::host
