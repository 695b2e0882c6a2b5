// What a WebSocket's client sends: the same is heard in whatever pieces it comes. The first byte says how large those
// are.

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "common/http/web_socket.h"
#include "tests/fuzz/planted.h"

namespace {

using namespace dstack;

struct Heard {
  std::vector<std::string> pings;
  int closes = 0;
  bool fine = true;

  friend bool operator==(const Heard&, const Heard&) = default;
};

Heard hear(std::string_view bytes, std::size_t piece) {
  Heard heard;
  http::WebSocketInput input;
  const http::WebSocketInput::Listener listener{
      .ping = [&heard](std::string_view payload) { heard.pings.emplace_back(payload); },
      .close = [&heard] { ++heard.closes; }};
  for (std::size_t i = 0; i < bytes.size(); i += piece) heard.fine = input.take(bytes.substr(i, piece), listener);
  return heard;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Heard whole = hear(bytes, bytes.size() + 1);
  if (whole.closes > 1) std::abort();
  for (const std::string& ping : whole.pings) {
    if (ping.size() > 125) std::abort();
  }
  test::planted_bug(whole.pings.size() == 3 && whole.closes == 1);
  if (hear(bytes, 1 + std::size_t{data[0]} % 16) != whole) std::abort();
  return 0;
}
