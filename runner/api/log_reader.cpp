#include "runner/api/log_reader.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace dstack::runner {

namespace {

// Large enough to go at the speed of memory, small enough that a ping between two frames is answered soon.
constexpr std::uint64_t kFrameLimit = std::uint64_t{128} << 10;
// What the kernel keeps for a reader that does not read: it would otherwise grow to megabytes.
constexpr int kSocketBuffer = 256 << 10;

bool would_block(int code) { return code == EAGAIN || code == EWOULDBLOCK; }

}  // namespace

LogReader::LogReader(const JobLog& log, http::WebSocketConnection connection, std::optional<std::uint64_t> position)
    : log_(log), socket_(std::move(connection.socket)), position_(position.value_or(0)) {
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUF, &kSocketBuffer, sizeof kSocketBuffer);
  // The server's connections wait in close() until the peer has everything, which would hold up all other readers here.
  // What is still on its way has its time by unreceived().
  const linger none{};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
  if (!position) {
    close_ = http::CloseCode::unsupported_data;
    close_reason_ = "failed to parse start_time value";
  }
  hear(connection.received);
}

bool LogReader::unreceived() const {
  int bytes = 0;
  return ::ioctl(socket_.get(), SIOCOUTQ, &bytes) == 0 && bytes > 0;
}

bool LogReader::advance(std::uint64_t size, bool ended) {
  if (readable_) receive();
  if (!writable_ || finished()) return readable_ && !finished();
  if (unsent_.empty() && frame_left_ == 0 && !choose_next(size, ended)) return readable_;
  if (!send_some()) return readable_ && !finished();
  return true;
}

void LogReader::receive() {
  std::array<char, 4096> buffer;
  const ssize_t count = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count > 0) {
    hear({buffer.data(), static_cast<std::size_t>(count)});
  } else if (count < 0 && would_block(errno)) {
    readable_ = false;
  } else if (count == 0 || errno != EINTR) {
    finished_ = true;
  }
}

void LogReader::hear(std::string_view bytes) {
  const bool fine = input_.take(bytes, {.ping =
                                            [this](std::string_view payload) {
                                              // Of several pings it is enough to answer the last.
                                              if (!close_) pong_ = payload;
                                            },
                                        .close =
                                            [this] {
                                              close_received_ = true;
                                              if (!close_) close_ = http::CloseCode::normal;
                                            }});
  if (fine) return;
  // No answer to a close frame can be understood from here on.
  close_received_ = true;
  if (!close_) close_ = http::CloseCode::protocol_error;
}

// What to send next, after a whole frame; false for nothing.
bool LogReader::choose_next(std::uint64_t size, bool ended) {
  if (close_chosen_) {
    close_sent_ = true;
    return false;
  }
  if (!close_ && !pong_ && position_ == size && ended) close_ = http::CloseCode::normal;
  if (close_) {
    unsent_ = http::close_frame(*close_, close_reason_);
    close_chosen_ = true;
  } else if (pong_) {
    unsent_ = http::pong_frame(*pong_);
    pong_.reset();
  } else if (position_ < size) {
    frame_left_ = std::min(size - position_, kFrameLimit);
    unsent_ = http::frame_header(http::Opcode::binary, frame_left_);
  } else {
    return false;
  }
  return true;
}

// True while there is room for more.
bool LogReader::send_some() {
  ssize_t count = 0;
  if (!unsent_.empty()) {
    const int more = frame_left_ > 0 ? MSG_MORE : 0;
    count = ::send(socket_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT | more);
    if (count > 0) unsent_.erase(0, static_cast<std::size_t>(count));
  }
  if (count >= 0 && unsent_.empty() && frame_left_ > 0) {
    auto offset = static_cast<off_t>(position_);
    count = ::sendfile(socket_.get(), log_.fd(), &offset, static_cast<std::size_t>(frame_left_));
    // Somebody cut the file short: the frame that was announced cannot be sent.
    if (count == 0) finished_ = true;
    if (count > 0) {
      position_ += static_cast<std::uint64_t>(count);
      frame_left_ -= static_cast<std::uint64_t>(count);
    }
  }
  if (count < 0 && would_block(errno)) {
    writable_ = false;
  } else if (count < 0 && errno != EINTR) {
    finished_ = true;
  }
  return writable_ && !finished_;
}

}  // namespace dstack::runner
