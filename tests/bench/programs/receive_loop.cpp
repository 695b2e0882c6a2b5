// The least that an upload's receiver can do: what comes is written to a file, one request after the other.
//   bench_receive_loop FILE
// Prints its port. Has no end of its own.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/programs/tcp.h"

namespace {

void receive(int connection, const char* path, std::vector<char>& buffer) {
  std::string head;
  std::size_t end = std::string::npos;
  while (end == std::string::npos) {
    const ssize_t size = ::recv(connection, buffer.data(), buffer.size(), 0);
    if (size <= 0) fail("receive a request");
    head.append(buffer.data(), static_cast<std::size_t>(size));
    end = head.find("\r\n\r\n");
  }
  const int file = ::open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) fail(path);
  const auto keep = [file](const char* bytes, std::size_t size) {
    if (::write(file, bytes, size) != static_cast<ssize_t>(size)) fail("write");
  };
  const std::string_view body = std::string_view(head).substr(end + 4);
  std::uint64_t left = content_length(head).value_or(0) - body.size();
  keep(body.data(), body.size());
  while (left > 0) {
    const ssize_t size = ::recv(connection, buffer.data(), buffer.size(), 0);
    if (size <= 0) fail("receive a body");
    keep(buffer.data(), static_cast<std::size_t>(size));
    left -= static_cast<std::uint64_t>(size);
  }
  ::close(file);
  send_all(connection, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  const int listener = listen_and_print_port(16);
  std::vector<char> buffer(65536);
  while (true) {
    const int connection = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) fail("accept");
    receive(connection, arguments[1], buffer);
    ::close(connection);
  }
}
