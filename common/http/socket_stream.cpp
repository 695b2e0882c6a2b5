#include "common/http/socket_stream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/os/clock.h"

namespace dstack::http {

namespace {

constexpr std::size_t kBufferSize = 16384;

// Of the thread's last connection, for its next one.
thread_local std::unique_ptr<char[]> spare_buffer;

// poll(2) on one descriptor, again after a signal. A negative limit waits for ever.
bool wait(int fd, short events, std::chrono::milliseconds limit) {
  pollfd waiting{.fd = fd, .events = events, .revents = 0};
  int ready = 0;
  do {
    ready = ::poll(&waiting, 1, limit.count() < 0 ? -1 : static_cast<int>(limit.count()));
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

// The address of one end of a connection in numbers; an IPv4 peer of an IPv6 socket by its IPv4 address.
void name_end(int socket, int (*ask)(int, sockaddr*, socklen_t*), std::string& ip, int& port) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (ask(socket, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return;
  char text[INET6_ADDRSTRLEN] = "";
  if (storage.ss_family == AF_INET) {
    const auto* address = reinterpret_cast<const sockaddr_in*>(&storage);
    ::inet_ntop(AF_INET, &address->sin_addr, text, sizeof text);
    port = ntohs(address->sin_port);
  } else if (storage.ss_family == AF_INET6) {
    auto* address = reinterpret_cast<sockaddr_in6*>(&storage);  // not const: musl's macro casts constness away
    const bool mapped = IN6_IS_ADDR_V4MAPPED(&address->sin6_addr);
    if (mapped) {
      ::inet_ntop(AF_INET, &address->sin6_addr.s6_addr[12], text, sizeof text);
    } else {
      ::inet_ntop(AF_INET6, &address->sin6_addr, text, sizeof text);
    }
    port = ntohs(address->sin6_port);
  }
  ip = text;
}

}  // namespace

SocketStream::SocketStream(os::UniqueFd socket, std::chrono::milliseconds write_timeout)
    : socket_(std::move(socket)), write_timeout_(write_timeout) {}

void SocketStream::rest() {
  if (buffer_ && !is_readable()) spare_buffer = std::move(buffer_);
}

void SocketStream::expect_request_within(std::chrono::milliseconds limit) {
  request_deadline_ = os::system_clock().now() + limit;
  silence_ = std::chrono::milliseconds(-1);
  bytes_read_ = 0;
  has_written_ = false;
}

void SocketStream::expect_steady_data(std::chrono::milliseconds silence) {
  request_deadline_ = Time::max();
  silence_ = silence;
}

void SocketStream::end_after_answer(std::chrono::milliseconds silence, std::chrono::milliseconds limit) {
  ending_ = true;
  silence_ = silence;
  request_deadline_ = os::system_clock().now() + limit;
}

void SocketStream::drain() {
  if (!socket_) return;
  ::shutdown(socket_.get(), SHUT_WR);
  std::array<char, 4096> dropped;
  while (receive(dropped.data(), dropped.size()) > 0) {
  }
}

std::chrono::milliseconds SocketStream::read_limit() const {
  if (request_deadline_ == Time::max()) return silence_;
  const auto left = std::max(std::chrono::ceil<std::chrono::milliseconds>(request_deadline_ - os::system_clock().now()),
                             std::chrono::milliseconds(0));
  return silence_.count() < 0 ? left : std::min(left, silence_);
}

bool SocketStream::was_reset() const {
  tcp_info info{};
  socklen_t size = sizeof info;
  return ::getsockopt(socket_.get(), IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_state == TCP_CLOSE;
}

WebSocketConnection SocketStream::release() {
  WebSocketConnection connection{.socket = std::move(socket_), .received = {}};
  if (is_readable()) connection.received.assign(buffer_.get() + start_, end_ - start_);
  buffer_.reset();
  start_ = end_ = 0;
  return connection;
}

bool SocketStream::is_readable_within(std::chrono::milliseconds limit) const {
  return is_readable() || wait(socket_.get(), POLLIN, limit);
}

bool SocketStream::wait_readable() const { return is_readable_within(read_limit()); }

bool SocketStream::wait_writable() const { return wait(socket_.get(), POLLOUT, write_timeout_); }

bool SocketStream::is_peer_alive() const {
  char byte = 0;
  const ssize_t count = ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
}

ssize_t SocketStream::read(char* data, size_t size) {
  if (!socket_) return 0;
  if (std::exchange(answered_, false)) ::shutdown(socket_.get(), SHUT_WR);
  if (start_ == end_) {
    // Much at once needs no copy.
    if (size > kBufferSize) return receive(data, size);
    if (!buffer_) buffer_ = std::move(spare_buffer);
    if (!buffer_) buffer_ = std::make_unique_for_overwrite<char[]>(kBufferSize);
    const ssize_t count = receive(buffer_.get(), kBufferSize);
    if (count <= 0) return count;
    start_ = 0;
    end_ = static_cast<std::size_t>(count);
  }
  const std::size_t count = std::min(size, end_ - start_);
  std::memcpy(data, buffer_.get() + start_, count);
  start_ += count;
  bytes_read_ += count;
  return static_cast<ssize_t>(count);
}

// From the connection itself; waits for the first byte.
ssize_t SocketStream::receive(char* data, std::size_t size) {
  while (true) {
    // A peer that never pauses has no more time than one that does.
    if (ending_ && read_limit().count() == 0) return -1;
    const ssize_t count = ::recv(socket_.get(), data, size, MSG_DONTWAIT);
    if (count >= 0) return count;
    if (errno == EAGAIN) {
      if (!wait(socket_.get(), POLLIN, read_limit())) return -1;
    } else if (errno != EINTR) {
      return -1;
    }
  }
}

ssize_t SocketStream::write(const char* data, size_t size) {
  if (!socket_) return static_cast<ssize_t>(size);
  has_written_ = true;
  std::size_t sent = 0;
  while (sent < size) {
    const ssize_t count = ::send(socket_.get(), data + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count >= 0) {
      sent += static_cast<std::size_t>(count);
      answered_ = ending_;
    } else if (errno == EAGAIN) {
      if (!wait(socket_.get(), POLLOUT, write_timeout_)) return -1;
    } else if (errno != EINTR) {
      return -1;
    }
  }
  return static_cast<ssize_t>(size);
}

void SocketStream::get_remote_ip_and_port(std::string& ip, int& port) const {
  name_end(socket_.get(), ::getpeername, ip, port);
}

void SocketStream::get_local_ip_and_port(std::string& ip, int& port) const {
  name_end(socket_.get(), ::getsockname, ip, port);
}

void SocketStream::set_read_timeout(time_t seconds, time_t) {
  const bool closing = seconds <= CPPHTTPLIB_WEBSOCKET_CLOSE_TIMEOUT_SECOND;
  expect_steady_data(closing ? std::chrono::seconds(seconds) : std::chrono::milliseconds(-1));
}

}  // namespace dstack::http
