#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <system_error>

namespace dstack::os {

// One end of a TCP connection: an address in numbers (an IPv4-mapped one counts as IPv4) and a port.
struct TcpEnd {
  std::string address;
  int port = 0;
};

// What the kernel tells of a socket.
struct TcpSocket {
  std::uint64_t inode = 0;                 // 0: no process has it open any more
  std::optional<std::uint64_t> cgroup_id;  // where in the cgroup2 hierarchy it was made; from Linux 5.8 on
};

// The socket of this network namespace whose own end is `own` and whose other end is `other`, by sock_diag(7); IPv4 and
// IPv6, an IPv6 socket that speaks IPv4 too. no_such_file_or_directory: there is none, or the kernel cannot look for
// TCP sockets at all (tcp_diag is not there), which try_tcp_look_up() tells apart. Does not block; from any thread.
std::expected<TcpSocket, std::error_code> find_tcp_socket(const TcpEnd& own, const TcpEnd& other);

// Two ends of a TCP connection on the loopback interface that this makes for itself: whether the one is found by the
// other. The error is why not; resources that have run out are an error as well.
std::expected<TcpSocket, std::error_code> try_tcp_look_up();

}  // namespace dstack::os
