#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "common/os/unique_fd.h"

namespace dstack::test {

// A port of the loopback interface that nothing listened on just now.
inline int free_port() {
  const os::UniqueFd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{
      .sin_family = AF_INET, .sin_port = 0, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  socklen_t length = sizeof address;
  ::bind(probe.get(), reinterpret_cast<sockaddr*>(&address), length);          // NOLINT: as sockets want it
  ::getsockname(probe.get(), reinterpret_cast<sockaddr*>(&address), &length);  // NOLINT
  return ntohs(address.sin_port);
}

}  // namespace dstack::test
