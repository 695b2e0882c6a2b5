#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

// The frames of RFC 6455, as a server sends and receives them.

namespace dstack::http {

enum class Opcode : std::uint8_t { continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 };

enum class CloseCode : std::uint16_t {
  normal = 1000,
  going_away = 1001,
  protocol_error = 1002,
  unsupported_data = 1003,
  internal_error = 1011,
  try_again_later = 1013,
};

// What goes before `length` bytes of payload: a whole message in one frame, unmasked.
std::string frame_header(Opcode opcode, std::uint64_t length);

// A whole control frame. `reason` is cut at 123 bytes, the most that fits.
std::string close_frame(CloseCode code, std::string_view reason = "");
std::string pong_frame(std::string_view payload);

// Takes apart what a client sends, in pieces of any size. It keeps at most the 125 bytes of one control frame: data
// messages are skipped, as a server that only sends has no use for them.
class WebSocketInput {
 public:
  // Both are called during take(); a view is valid during the call only.
  struct Listener {
    std::function<void(std::string_view payload)> ping;
    std::function<void()> close;
  };

  // Takes the next bytes. False when the client broke the protocol, now or before; nothing is heard from then on, nor
  // after a close.
  bool take(std::string_view bytes, const Listener& listener);

 private:
  bool take_header(std::string_view& bytes);
  bool begin_payload();

  enum class State { header, payload, closed, broken };
  State state_ = State::header;
  std::array<unsigned char, 14> header_{};
  std::size_t header_size_ = 0;
  std::uint64_t payload_left_ = 0;
  std::size_t mask_position_ = 0;
  std::string control_;  // payload of a control frame so far
};

}  // namespace dstack::http
