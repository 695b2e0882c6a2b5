// A reader of /logs_ws that costs as little as can be, so that what is measured is the sender:
//   bench_log_reader PORT [--delays FILE]
// Prints "connected"; when the server has closed, "FIRST LAST BYTES": the times at which the first and the last byte of
// output came, and how many bytes there were. With --delays each line of the output is a time, and FILE gets a line
// with the nanoseconds from it until the line was here.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <optional>
#include <print>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/programs/clock.h"

namespace {

class Reader {
 public:
  Reader(int port, const char* delays) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (delays != nullptr) delays_.emplace(delays);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("connect");
    constexpr std::string_view kRequest =
        "GET /logs_ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    if (::write(socket_, kRequest.data(), kRequest.size()) < 0) fail("write");
    while (!received().contains("\r\n\r\n")) fill();
    begin_ = received().find("\r\n\r\n") + 4;
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() { ::close(socket_); }

  // To the close frame.
  void read_all() {
    while (true) {
      const unsigned opcode = byte() & 0x0f;
      std::uint64_t left = byte();
      if (left >= 126) {
        const int size = left == 126 ? 2 : 8;
        left = 0;
        for (int i = 0; i < size; ++i) left = left << 8 | byte();
      }
      if (opcode == 8) return;
      while (left > 0) {
        if (begin_ == filled_) fill();
        const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left, filled_ - begin_));
        take(std::string_view(buffer_.data() + begin_, count));
        begin_ += count;
        left -= count;
      }
    }
  }

  void print() const { std::println("{} {} {}", first_, last_, total_); }

 private:
  std::string_view received() const { return {buffer_.data() + begin_, filled_ - begin_}; }

  unsigned byte() {
    if (begin_ == filled_) fill();
    return static_cast<unsigned char>(buffer_[begin_++]);
  }

  void fill() {
    if (begin_ == filled_) begin_ = filled_ = 0;
    const ssize_t count = ::recv(socket_, buffer_.data() + filled_, buffer_.size() - filled_, 0);
    if (count <= 0) fail("the server closed without a close frame");
    filled_ += static_cast<std::size_t>(count);
    arrived_ = now_ns();
  }

  void take(std::string_view output) {
    if (total_ == 0) first_ = arrived_;
    last_ = arrived_;
    total_ += output.size();
    if (!delays_) return;
    for (const char character : output) {
      if (character != '\n') {
        line_ += character;
        continue;
      }
      *delays_ << arrived_ - std::strtoll(line_.c_str(), nullptr, 10) << '\n';
      line_.clear();
    }
  }

  const int socket_;
  std::optional<std::ofstream> delays_;
  std::string line_;
  std::vector<char> buffer_ = std::vector<char>(std::size_t{1} << 20);
  std::size_t begin_ = 0;
  std::size_t filled_ = 0;
  std::uint64_t total_ = 0;
  std::int64_t arrived_ = 0;
  std::int64_t first_ = 0;
  std::int64_t last_ = 0;
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 2 && count != 4) return 2;
  Reader reader(std::atoi(arguments[1]), count == 4 ? arguments[3] : nullptr);
  std::println("connected");
  std::fflush(stdout);
  reader.read_all();
  reader.print();
  return 0;
}
