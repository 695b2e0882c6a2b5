#include "common/os/free_port.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <format>

#include "common/error.h"
#include "common/os/unique_fd.h"

namespace dstack::os {

void check_port_is_free(int port) {
  const auto try_to_bind = [port](int family, const sockaddr* address, socklen_t size) {
    const UniqueFd socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket) return;  // no such family here
    const int on = 1;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (family == AF_INET6) ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (::bind(socket.get(), address, size) != 0 || ::listen(socket.get(), 1) != 0) {
      if (errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT) return;
      throw os_error("listen on", std::format("port {}", port));
    }
  };
  sockaddr_in ip4{};
  ip4.sin_family = AF_INET;
  ip4.sin_port = htons(static_cast<std::uint16_t>(port));
  try_to_bind(AF_INET, reinterpret_cast<const sockaddr*>(&ip4), sizeof ip4);
  sockaddr_in6 ip6{};
  ip6.sin6_family = AF_INET6;
  ip6.sin6_port = htons(static_cast<std::uint16_t>(port));
  try_to_bind(AF_INET6, reinterpret_cast<const sockaddr*>(&ip6), sizeof ip6);
}

}  // namespace dstack::os
