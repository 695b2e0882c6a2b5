#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <print>
#include <string_view>

#include "tests/bench/programs/clock.h"

// On loopback; small messages are sent at once.
inline int connect_to(int port) {
  const int connection = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("connect");
  const int yes = 1;
  ::setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  return connection;
}

// On a free port of loopback, which is printed for whoever started the program.
inline int listen_and_print_port(int backlog) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (listener < 0 || ::bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listener, backlog) != 0 || ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    fail("listen");
  std::println("{}", ntohs(address.sin_port));
  std::fflush(stdout);
  return listener;
}

inline void send_all(int connection, std::string_view bytes, int flags = 0) {
  while (!bytes.empty()) {
    const ssize_t size = ::send(connection, bytes.data(), bytes.size(), MSG_NOSIGNAL | flags);
    if (size <= 0) fail("send");
    bytes.remove_prefix(static_cast<std::size_t>(size));
  }
}

// The body's size out of a message's head, whose names are written as httplib and these programs write them.
inline std::optional<std::uint64_t> content_length(std::string_view head) {
  constexpr std::string_view kName = "\r\nContent-Length: ";
  const std::size_t found = head.find(kName);
  if (found == std::string_view::npos) return std::nullopt;
  return std::strtoull(head.data() + found + kName.size(), nullptr, 10);
}
