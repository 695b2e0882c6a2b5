// Sends a file as the one part of a form:
//   bench_upload PORT PATH FILE
// Prints the nanoseconds from the connection to the answer, which must be 200.

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <format>
#include <print>
#include <string>
#include <string_view>

#include "tests/bench/programs/tcp.h"

int main(int count, char** arguments) {
  if (count != 4) return 2;
  const int file = ::open(arguments[3], O_RDONLY | O_CLOEXEC);
  struct stat about{};
  if (file < 0 || ::fstat(file, &about) != 0) fail(arguments[3]);
  const std::string before = "--x\r\nContent-Disposition: form-data; name=\"archive\"; filename=\"a\"\r\n\r\n";
  const std::string after = "\r\n--x--\r\n";
  const auto size = static_cast<std::uint64_t>(about.st_size);
  const std::int64_t start = now_ns();
  const int connection = connect_to(std::atoi(arguments[1]));
  send_all(connection, std::format("POST {} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
                                   "Content-Length: {}\r\n\r\n{}",
                                   arguments[2], before.size() + size + after.size(), before));
  for (std::uint64_t left = size; left > 0;) {
    const ssize_t sent = ::sendfile(connection, file, nullptr, static_cast<std::size_t>(left));
    if (sent <= 0) fail("sendfile");
    left -= static_cast<std::uint64_t>(sent);
  }
  send_all(connection, after);
  std::array<char, 4096> answer{};
  const ssize_t length = ::recv(connection, answer.data(), answer.size(), 0);
  const std::int64_t end = now_ns();
  if (length <= 0 || !std::string_view(answer.data(), static_cast<std::size_t>(length)).starts_with("HTTP/1.1 200"))
    fail("not an answer with 200");
  std::println("{}", end - start);
  return 0;
}
