#include "tests/support/raw_http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdlib>

#include "common/error.h"
#include "common/os/file.h"

namespace dstack::test {

namespace {

constexpr std::string_view kEndOfHead = "\r\n\r\n";

// False at the end of the stream.
bool read_more(int socket, std::string& text) {
  char buffer[4096];
  const ssize_t count = ::read(socket, buffer, sizeof buffer);
  if (count > 0) text.append(buffer, static_cast<std::size_t>(count));
  return count > 0;
}

}  // namespace

RawConnection::RawConnection(int port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw os_error("connect to port", std::to_string(port));
  }
}

void RawConnection::send(std::string_view bytes) { os::write_all(socket_.get(), bytes, "a connection"); }

void RawConnection::end_of_input() { ::shutdown(socket_.get(), SHUT_WR); }

std::string RawConnection::read_all() {
  while (read_more(socket_.get(), unread_)) {
  }
  return std::exchange(unread_, {});
}

std::string RawConnection::read_bytes(std::size_t count) {
  while (unread_.size() < count && read_more(socket_.get(), unread_)) {
  }
  std::string bytes = unread_.substr(0, count);
  unread_.erase(0, count);
  return bytes;
}

std::string RawConnection::read_answer() {
  std::size_t head = std::string::npos;
  while ((head = unread_.find(kEndOfHead)) == std::string::npos) {
    if (!read_more(socket_.get(), unread_)) return std::exchange(unread_, {});
  }
  std::size_t size = head + kEndOfHead.size();
  if (const std::size_t field = unread_.find("Content-Length: "); field < head) {
    size += std::strtoull(unread_.c_str() + field + 16, nullptr, 10);
  }
  while (unread_.size() < size && read_more(socket_.get(), unread_)) {
  }
  std::string answer = unread_.substr(0, size);
  unread_.erase(0, size);
  return answer;
}

int status_of(std::string_view answer) {
  return answer.starts_with("HTTP/1.1 ") ? std::atoi(std::string(answer.substr(9, 3)).c_str()) : 0;
}

std::string body_of(std::string_view answer) {
  const std::size_t head = answer.find(kEndOfHead);
  return head == std::string_view::npos ? "" : std::string(answer.substr(head + kEndOfHead.size()));
}

}  // namespace dstack::test
