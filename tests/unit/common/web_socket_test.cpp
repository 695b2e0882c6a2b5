#include "common/http/web_socket.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <string>
#include <vector>

using namespace dstack;
using http::Opcode;

namespace {

std::string client_frame(unsigned first, std::string_view payload) {
  std::string frame(1, static_cast<char>(first));
  if (payload.size() < 126) {
    frame.push_back(static_cast<char>(0x80 | payload.size()));
  } else {
    frame +=
        {static_cast<char>(0xfe), static_cast<char>(payload.size() >> 8), static_cast<char>(payload.size() & 0xff)};
  }
  const std::string mask = "\x11\x22\x33\x44";
  frame += mask;
  for (std::size_t i = 0; i < payload.size(); ++i) frame.push_back(static_cast<char>(payload[i] ^ mask[i % 4]));
  return frame;
}

struct Heard {
  std::vector<std::string> pings;
  int closes = 0;
  bool fine = true;
};

Heard hear(std::string_view bytes, std::size_t piece) {
  Heard heard;
  http::WebSocketInput input;
  const http::WebSocketInput::Listener listener{
      .ping = [&](std::string_view payload) { heard.pings.emplace_back(payload); }, .close = [&] { ++heard.closes; }};
  for (std::size_t i = 0; i < bytes.size(); i += piece) heard.fine = input.take(bytes.substr(i, piece), listener);
  return heard;
}

}  // namespace

TEST_CASE("pings and a close are heard between data, in pieces of any size") {
  const std::size_t piece = GENERATE(1U, 2U, 3U, 7U, 1000U);
  const Heard heard = hear(client_frame(0x89, "one") + client_frame(0x82, std::string(300, 'x')) +
                               client_frame(0x89, "") + client_frame(0x88, "\x03\xe8") + client_frame(0x89, "too late"),
                           piece);
  CHECK(heard.fine);
  CHECK(heard.pings == std::vector<std::string>{"one", ""});
  CHECK(heard.closes == 1);
}

TEST_CASE("what a client may not send ends the conversation") {
  const std::string ping = client_frame(0x89, "one");
  std::string unmasked = ping;
  unmasked[1] &= 0x7f;
  CHECK_FALSE(hear(unmasked, 1).fine);
  CHECK_FALSE(hear(unmasked.substr(0, 2), 2).fine);
  CHECK_FALSE(hear(client_frame(0xc9, ""), 1).fine);                             // a reserved bit
  CHECK_FALSE(hear(client_frame(0x83, ""), 1).fine);                             // an unknown opcode
  CHECK_FALSE(hear(client_frame(0x09, ""), 1).fine);                             // a control frame in parts
  CHECK_FALSE(hear(client_frame(0x89, std::string(126, 'x')), 1).fine);          // a control frame that is too long
  CHECK_FALSE(hear(std::string("\x82\xff\x80\0\0\0\0\0\0\0....", 14), 1).fine);  // a length of 64 bits
  CHECK(hear(client_frame(0xc9, "") + ping, 1).pings.empty());
}

TEST_CASE("frame headers have the three lengths of the protocol") {
  CHECK(http::frame_header(Opcode::binary, 125) == std::string("\x82\x7d", 2));
  CHECK(http::frame_header(Opcode::binary, 126) == std::string("\x82\x7e\x00\x7e", 4));
  CHECK(http::frame_header(Opcode::binary, 65536) == std::string("\x82\x7f\0\0\0\0\0\1\0\0", 10));
  CHECK(http::close_frame(http::CloseCode::unsupported_data, "no") == "\x88\x04\x03\xebno");
  CHECK(http::pong_frame("x") == "\x8a\x01x");
}
