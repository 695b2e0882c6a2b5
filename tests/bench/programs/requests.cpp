// Asks for the same over and over, on connections that stay:
//   bench_requests PORT PATH CONNECTIONS SECONDS
// Prints "MEDIAN RATE": the median nanoseconds of a request, and requests in a second.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <print>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/programs/clock.h"

namespace {

int connect_to(int port) {
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

}  // namespace

int main(int count, char** arguments) {
  if (count != 5) return 2;
  const std::string request = "GET " + std::string(arguments[2]) + " HTTP/1.1\r\nHost: x\r\n\r\n";
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  std::map<int, std::int64_t> asked;
  const auto ask = [&](int connection) {
    asked[connection] = now_ns();
    if (::send(connection, request.data(), request.size(), MSG_NOSIGNAL) < 0) fail("send");
  };
  const std::int64_t start = now_ns();
  for (int i = 0; i < std::atoi(arguments[3]); ++i) {
    const int connection = connect_to(std::atoi(arguments[1]));
    epoll_event event{.events = EPOLLIN, .data = {.fd = connection}};
    if (::epoll_ctl(epoll, EPOLL_CTL_ADD, connection, &event) != 0) fail("epoll_ctl");
    ask(connection);
  }
  const std::int64_t end = start + static_cast<std::int64_t>(std::atof(arguments[4]) * 1e9);
  std::vector<std::int64_t> times;
  std::array<epoll_event, 64> events{};
  std::array<char, 65536> buffer{};
  while (now_ns() < end) {
    const int ready = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), 1000);
    for (int i = 0; i < ready; ++i) {
      const int connection = events[static_cast<std::size_t>(i)].data.fd;
      // An answer is small, and comes whole.
      const ssize_t size = ::recv(connection, buffer.data(), buffer.size(), 0);
      if (size <= 0 || !std::string_view(buffer.data(), static_cast<std::size_t>(size)).starts_with("HTTP/1.1 200"))
        fail("not an answer with 200");
      times.push_back(now_ns() - asked[connection]);
      ask(connection);
    }
  }
  if (times.empty()) return 1;
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  std::println("{} {:.0f}", *middle, static_cast<double>(times.size()) / (static_cast<double>(now_ns() - start) / 1e9));
  return 0;
}
