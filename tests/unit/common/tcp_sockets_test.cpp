#include "common/os/tcp_sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>
#include <cstring>

#include "common/os/unique_fd.h"

using namespace dstack;
using os::find_tcp_socket;
using os::TcpEnd;
using os::UniqueFd;

namespace {

// A connection on the loopback interface.
struct Connection {
  UniqueFd listener, client, server;
  TcpEnd client_end, server_end;

  explicit Connection(const char* address, const char* client_address = nullptr) {
    const auto [at, size] = make(address, 0);
    listener = UniqueFd(::socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&at), size) == 0);
    REQUIRE(::listen(listener.get(), 1) == 0);
    server_end = {.address = address, .port = port_of(listener.get())};
    const auto [to, to_size] = make(client_address != nullptr ? client_address : address, server_end.port);
    client = UniqueFd(::socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(client.get(), reinterpret_cast<const sockaddr*>(&to), to_size) == 0);
    client_end = {.address = address, .port = port_of(client.get())};
    server = UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    REQUIRE(server);
  }

  static std::pair<sockaddr_storage, socklen_t> make(const char* text, int port) {
    sockaddr_storage storage{};
    auto* four = reinterpret_cast<sockaddr_in*>(&storage);
    auto* six = reinterpret_cast<sockaddr_in6*>(&storage);
    if (::inet_pton(AF_INET, text, &four->sin_addr) == 1) {
      four->sin_family = AF_INET;
      four->sin_port = htons(static_cast<std::uint16_t>(port));
      return {storage, sizeof *four};
    }
    REQUIRE(::inet_pton(AF_INET6, text, &six->sin6_addr) == 1);
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(static_cast<std::uint16_t>(port));
    return {storage, sizeof *six};
  }
  static int port_of(int socket) {
    sockaddr_in6 address{};
    socklen_t size = sizeof address;
    REQUIRE(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    return ntohs(address.sin6_port);
  }
};

std::uint64_t inode_of(const UniqueFd& socket) {
  struct stat status{};
  REQUIRE(::fstat(socket.get(), &status) == 0);
  return status.st_ino;
}

}  // namespace

TEST_CASE("both ends of a connection are found, each by the order of the ends") {
  const Connection made("127.0.0.1");
  REQUIRE(find_tcp_socket(made.client_end, made.server_end));
  CHECK(find_tcp_socket(made.client_end, made.server_end)->inode == inode_of(made.client));
  CHECK(find_tcp_socket(made.server_end, made.client_end)->inode == inode_of(made.server));
}

TEST_CASE("IPv6 sockets are found, those that speak IPv4 by either way to write the address") {
  const Connection six("::1");
  CHECK(find_tcp_socket(six.client_end, six.server_end)->inode == inode_of(six.client));
  const Connection mapped("127.0.0.1", "::ffff:127.0.0.1");
  CHECK(find_tcp_socket(mapped.client_end, mapped.server_end)->inode == inode_of(mapped.client));
  const TcpEnd client{.address = "::ffff:127.0.0.1", .port = mapped.client_end.port};
  const TcpEnd server{.address = "::ffff:127.0.0.1", .port = mapped.server_end.port};
  CHECK(find_tcp_socket(client, server)->inode == inode_of(mapped.client));
}

TEST_CASE("a socket that was closed has no inode, or is not found") {
  Connection made("127.0.0.1");
  made.client.reset();
  const auto closed = find_tcp_socket(made.client_end, made.server_end);
  if (closed) {
    CHECK(closed->inode == 0);
  } else {
    CHECK(closed.error() == std::errc::no_such_file_or_directory);
  }
  // An abort leaves nothing.
  Connection reset("127.0.0.1");
  const linger abort{.l_onoff = 1, .l_linger = 0};
  REQUIRE(::setsockopt(reset.client.get(), SOL_SOCKET, SO_LINGER, &abort, sizeof abort) == 0);
  reset.client.reset();
  CHECK(find_tcp_socket(reset.client_end, reset.server_end).error() == std::errc::no_such_file_or_directory);
}

TEST_CASE("whoever listens on the port of a connection that is gone is not taken for its end") {
  const Connection made("127.0.0.1");
  const TcpEnd stranger{.address = "127.0.0.1", .port = made.client_end.port};
  CHECK(find_tcp_socket(made.server_end, {.address = "127.0.0.2", .port = 1}).error() ==
        std::errc::no_such_file_or_directory);
  CHECK_FALSE(find_tcp_socket(made.server_end, {.address = "not an address", .port = 1}));
  CHECK_FALSE(find_tcp_socket({.address = "::1", .port = 1}, stranger));
}

TEST_CASE("the look-up is tried with a connection of its own") {
  const auto tried = os::try_tcp_look_up();
  REQUIRE(tried);
  CHECK(tried->inode != 0);
}
