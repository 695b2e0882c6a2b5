// Asks for the same every few milliseconds on one connection, until the answer has none of the words:
//   bench_until PORT PATH MILLISECONDS WORD...
// Cheap enough not to slow down what is waited for.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <thread>

#include "tests/bench/programs/clock.h"

int main(int count, char** arguments) {
  if (count < 5) return 2;
  const std::span<char*> words(arguments + 4, arguments + count);
  const std::string request = "GET " + std::string(arguments[2]) + " HTTP/1.1\r\nHost: x\r\n\r\n";
  const int connection = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(arguments[1])));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("connect");
  std::array<char, 65536> buffer{};
  while (true) {
    if (::send(connection, request.data(), request.size(), MSG_NOSIGNAL) < 0) fail("send");
    // An answer is small, and comes whole.
    const ssize_t size = ::recv(connection, buffer.data(), buffer.size(), 0);
    if (size <= 0) fail("not an answer");
    const std::string_view answer(buffer.data(), static_cast<std::size_t>(size));
    if (std::ranges::none_of(words, [answer](const char* word) { return answer.contains(word); })) return 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(std::atoi(arguments[3])));
  }
}
