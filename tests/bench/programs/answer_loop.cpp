// The least that an HTTP server can do: an epoll loop that answers each request with the same bytes.
//   bench_answer_loop FILE       FILE: the whole answer, head and body
// Prints its port; ends with its standard input.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "tests/bench/programs/tcp.h"

namespace {

void watch(int epoll, int descriptor) {
  epoll_event event{.events = EPOLLIN, .data = {.fd = descriptor}};
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) != 0) fail("epoll_ctl");
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  std::ifstream file(arguments[1], std::ios::binary);
  const std::string answer{std::istreambuf_iterator<char>(file), {}};
  const int listener = listen_and_print_port(1024);
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  watch(epoll, listener);
  watch(epoll, STDIN_FILENO);
  std::array<epoll_event, 64> events{};
  std::array<char, 65536> buffer{};
  while (true) {
    const int ready = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < ready; ++i) {
      const int descriptor = events[static_cast<std::size_t>(i)].data.fd;
      if (descriptor == STDIN_FILENO) return 0;
      if (descriptor == listener) {
        const int connection = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        const int yes = 1;
        ::setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        watch(epoll, connection);
        continue;
      }
      const ssize_t length = ::recv(descriptor, buffer.data(), buffer.size(), 0);
      if (length <= 0 || ::send(descriptor, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) ::close(descriptor);
    }
  }
}
