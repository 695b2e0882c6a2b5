#include "common/http/web_socket.h"

#include <algorithm>

namespace dstack::http {

namespace {

constexpr std::size_t kControlLimit = 125;

Opcode opcode_of(unsigned char first) { return static_cast<Opcode>(first & 0x0f); }

bool is_control(Opcode opcode) { return (static_cast<unsigned>(opcode) & 0x08) != 0; }

// How long a header is that has this as its second byte, its mask included. One without a mask, which is refused, need
// not be read further.
std::size_t header_length(unsigned char second) {
  if ((second & 0x80) == 0) return 2;
  switch (second & 0x7f) {
    case 126: return 2 + 2 + 4;
    case 127: return 2 + 8 + 4;
    default: return 2 + 4;
  }
}

}  // namespace

std::string frame_header(Opcode opcode, std::uint64_t length) {
  std::string header(1, static_cast<char>(0x80 | static_cast<unsigned>(opcode)));
  int bytes = 0;
  if (length < 126) {
    header.push_back(static_cast<char>(length));
  } else if (length <= 0xffff) {
    header.push_back(126);
    bytes = 2;
  } else {
    header.push_back(127);
    bytes = 8;
  }
  for (int i = bytes - 1; i >= 0; --i) header.push_back(static_cast<char>(length >> (8 * i) & 0xff));
  return header;
}

std::string close_frame(CloseCode code, std::string_view reason) {
  const auto number = static_cast<unsigned>(code);
  reason = reason.substr(0, kControlLimit - 2);
  std::string frame = frame_header(Opcode::close, 2 + reason.size());
  frame.push_back(static_cast<char>(number >> 8));
  frame.push_back(static_cast<char>(number & 0xff));
  return frame.append(reason);
}

std::string pong_frame(std::string_view payload) {
  payload = payload.substr(0, kControlLimit);
  return frame_header(Opcode::pong, payload.size()).append(payload);
}

bool WebSocketInput::take(std::string_view bytes, const Listener& listener) {
  while (state_ == State::header || state_ == State::payload) {
    if (state_ == State::header) {
      if (!take_header(bytes)) break;
      if (!begin_payload()) {
        state_ = State::broken;
        break;
      }
    }
    const Opcode opcode = opcode_of(header_[0]);
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(payload_left_, bytes.size()));
    if (is_control(opcode)) {
      const unsigned char* mask = header_.data() + header_size_ - 4;
      for (const char c : bytes.substr(0, count)) {
        control_.push_back(static_cast<char>(static_cast<unsigned char>(c) ^ mask[mask_position_++ % 4]));
      }
    }
    bytes.remove_prefix(count);
    payload_left_ -= count;
    if (payload_left_ > 0) break;
    state_ = State::header;
    header_size_ = 0;
    if (opcode == Opcode::ping) listener.ping(control_);
    if (opcode == Opcode::close) {
      state_ = State::closed;
      listener.close();
    }
  }
  return state_ != State::broken;
}

// Collects the header; true when it is whole.
bool WebSocketInput::take_header(std::string_view& bytes) {
  while (header_size_ < 2 || header_size_ < header_length(header_[1])) {
    if (bytes.empty()) return false;
    header_[header_size_++] = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
  }
  return true;
}

// Checks the header; false for what RFC 6455 forbids a client.
bool WebSocketInput::begin_payload() {
  const Opcode opcode = opcode_of(header_[0]);
  const bool final = (header_[0] & 0x80) != 0;
  const bool reserved_bits = (header_[0] & 0x70) != 0;
  const bool masked = (header_[1] & 0x80) != 0;
  if (reserved_bits || !masked) return false;
  switch (opcode) {
    case Opcode::continuation:
    case Opcode::text:
    case Opcode::binary:
    case Opcode::close:
    case Opcode::ping:
    case Opcode::pong: break;
    default: return false;
  }
  payload_left_ = header_[1] & 0x7f;
  if (payload_left_ >= 126) {
    const std::size_t size = payload_left_ == 126 ? 2 : 8;
    payload_left_ = 0;
    for (std::size_t i = 0; i < size; ++i) payload_left_ = payload_left_ << 8 | header_[2 + i];
    if (payload_left_ >> 63 != 0) return false;
  }
  if (is_control(opcode) && (!final || payload_left_ > kControlLimit)) return false;
  state_ = State::payload;
  mask_position_ = 0;
  control_.clear();
  return true;
}

}  // namespace dstack::http
