#include "common/http/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <format>

#include "common/error.h"

namespace dstack::http {

namespace {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

// Numeric addresses only: a look-up would need what an image may not have. "" is every interface: both families
// through one IPv6 socket where the kernel has IPv6.
SocketAddress parse(const std::string& address, int port, int family) {
  SocketAddress result;
  if (family == AF_INET6) {
    auto* ip = reinterpret_cast<sockaddr_in6*>(&result.storage);
    ip->sin6_family = AF_INET6;
    ip->sin6_port = htons(static_cast<uint16_t>(port));
    ip->sin6_addr = in6addr_any;
    result.size = sizeof *ip;
    if (address.empty() || ::inet_pton(AF_INET6, address.c_str(), &ip->sin6_addr) == 1) return result;
  } else {
    auto* ip = reinterpret_cast<sockaddr_in*>(&result.storage);
    ip->sin_family = AF_INET;
    ip->sin_port = htons(static_cast<uint16_t>(port));
    ip->sin_addr.s_addr = htonl(INADDR_ANY);
    result.size = sizeof *ip;
    if (address.empty() || ::inet_pton(AF_INET, address.c_str(), &ip->sin_addr) == 1) return result;
  }
  throw Error(ErrorKind::invalid, std::format("listen on {}: not a numeric IP address", printable(address)));
}

int bound_port(int socket) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&storage), &size) != 0)
    throw os_error("read the port of a socket", "");
  return ntohs(storage.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port
                                             : reinterpret_cast<sockaddr_in*>(&storage)->sin_port);
}

}  // namespace

Listener::Listener() = default;

int Listener::bind(const std::string& address, int port) {
  const std::string name = std::format("{}:{}", address.empty() ? "*" : address, port);
  int family = address.empty() || address.contains(':') ? AF_INET6 : AF_INET;
  os::UniqueFd socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket && address.empty()) {
    family = AF_INET;
    socket.reset(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  }
  if (!socket) throw os_error("listen on", name);
  const int on = 1;
  const int only = address.empty() ? 0 : 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (family == AF_INET6) ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
  const SocketAddress target = parse(address, port, family);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&target.storage), target.size) != 0 ||
      ::listen(socket.get(), SOMAXCONN) != 0) {
    throw os_error("listen on", name);
  }
  const int actual = bound_port(socket.get());
  sockets_.push_back(std::move(socket));
  return actual;
}

void Listener::run(const std::function<void(os::UniqueFd)>& take, const std::function<int()>& look_after) {
  std::vector<pollfd> waiting{{.fd = stopped_.fd(), .events = POLLIN, .revents = 0}};
  for (const os::UniqueFd& socket : sockets_) waiting.push_back({.fd = socket.get(), .events = POLLIN, .revents = 0});
  while (true) {
    if (::poll(waiting.data(), waiting.size(), look_after()) < 0 && errno != EINTR)
      throw os_error("wait for connections", "");
    if (waiting[0].revents != 0) return;
    for (std::size_t i = 1; i < waiting.size(); ++i) {
      if (waiting[i].revents == 0) continue;
      os::UniqueFd connection(::accept4(waiting[i].fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (connection) {
        const int on = 1;
        // The end waits until the peer has the last byte: with a container its network goes, and what was still on its
        // way.
        const linger linger_on_close{.l_onoff = 1, .l_linger = 10};
        ::setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        ::setsockopt(connection.get(), SOL_SOCKET, SO_LINGER, &linger_on_close, sizeof linger_on_close);
        take(std::move(connection));
      } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        // Nothing to do but let connections end; without a pause this loop would spin, since the socket stays readable.
        ::poll(waiting.data(), 1, 100);
      }
    }
  }
}

void Listener::stop() { stopped_.set(); }

}  // namespace dstack::http
