// A reader of /logs_ws that costs as little as can be, so that what is measured is the sender:
//   bench_log_reader PORT PATH [FILE]
// Prints "read SECONDS BYTES close CODE" when the server has closed; with FILE, the raw log, compares every byte with
// it.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <print>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/os/unique_fd.h"

namespace {

using namespace dstack;

class Reader {
 public:
  Reader(int port, const std::string& path, const char* file)
      : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      throw os_error("connect to", "the log server");
    const std::string request = "GET " + path +
                                " HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    if (::write(socket_.get(), request.data(), request.size()) < 0) throw os_error("ask", "the log server");
    if (file != nullptr) file_.reset(::open(file, O_RDONLY | O_CLOEXEC));
    while (!std::string_view(buffer_.data(), filled_).contains("\r\n\r\n")) fill();
    begin_ = std::string_view(buffer_.data(), filled_).find("\r\n\r\n") + 4;
  }

  // To the close frame; its code.
  int read_all() {
    while (true) {
      const unsigned opcode = byte() & 0x0f;
      std::uint64_t left = byte();
      if (left >= 126) {
        const int size = left == 126 ? 2 : 8;
        left = 0;
        for (int i = 0; i < size; ++i) left = left << 8 | byte();
      }
      if (opcode == 8) {
        const unsigned high = byte();
        return static_cast<int>(high << 8 | byte());
      }
      while (left > 0) {
        if (begin_ == filled_) fill();
        const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left, filled_ - begin_));
        if (file_) compare(std::string_view(buffer_.data() + begin_, count));
        begin_ += count;
        left -= count;
        total_ += count;
      }
    }
  }

  std::uint64_t total() const { return total_; }

 private:
  unsigned byte() {
    if (begin_ == filled_) fill();
    return static_cast<unsigned char>(buffer_[begin_++]);
  }

  void fill() {
    if (begin_ == filled_) begin_ = filled_ = 0;
    const ssize_t count = ::recv(socket_.get(), buffer_.data() + filled_, buffer_.size() - filled_, 0);
    if (count <= 0) throw Error(ErrorKind::unavailable, "the log server closed without a close frame");
    filled_ += static_cast<std::size_t>(count);
  }

  void compare(std::string_view data) {
    expected_.resize(data.size());
    const ssize_t count = ::pread(file_.get(), expected_.data(), expected_.size(), static_cast<off_t>(total_));
    if (count != static_cast<ssize_t>(data.size()) || std::memcmp(expected_.data(), data.data(), data.size()) != 0) {
      throw Error(ErrorKind::internal, "the output differs from the raw log at " + std::to_string(total_));
    }
  }

  os::UniqueFd socket_;
  os::UniqueFd file_;
  std::vector<char> buffer_ = std::vector<char>(std::size_t{1} << 20);
  std::vector<char> expected_;
  std::size_t begin_ = 0;
  std::size_t filled_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace

int main(int count, char** arguments) {
  if (count < 3) return 2;
  try {
    Reader reader(std::atoi(arguments[1]), arguments[2], count > 3 ? arguments[3] : nullptr);
    std::println("connected");
    std::fflush(stdout);
    const auto began = std::chrono::steady_clock::now();
    const int code = reader.read_all();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    std::println("read {:.3f} {} close {}", took.count(), reader.total(), code);
    return 0;
  } catch (const std::exception& error) {
    std::println(stderr, "bench_log_reader: {}", error.what());
    return 1;
  }
}
