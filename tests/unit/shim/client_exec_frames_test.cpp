#include <catch2/catch_test_macros.hpp>

#include "common/error.h"
#include "shim/client/exec_frames.h"

using namespace dstack;
using namespace dstack::shim::client;

namespace {

std::string frame(char kind, const std::string& payload) {
  std::string bytes{kind};
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(payload.size() >> shift & 0xff);
  return bytes + payload;
}

const std::string kStream = frame(1, "out") + frame(2, "problem") + frame(1, "") + frame(1, "put") +
                            frame(3, R"({"exit_status":3,"signal":null,"oom":true})");

}  // namespace

TEST_CASE("a program's output and end come out of its frames, wherever they are cut") {
  for (std::size_t size = 1; size <= kStream.size(); ++size) {
    ExecFrames frames;
    std::string output;
    std::string errors;
    for (std::size_t at = 0; at < kStream.size(); at += size) {
      CHECK_FALSE(frames.end());
      frames.read(std::string_view(kStream).substr(at, size), [&](Stream stream, std::string_view piece) {
        (stream == Stream::output ? output : errors) += piece;
      });
    }
    CHECK(output == "output");
    CHECK(errors == "problem");
    REQUIRE(frames.end());
    CHECK(frames.end()->status() == 3);
    CHECK(frames.end()->out_of_memory);
  }
}

TEST_CASE("a signal is 128 and its number") {
  ExecFrames frames;
  frames.read(frame(3, R"({"exit_status":null,"signal":"SIGTERM","oom":false})"), [](auto, auto) {});
  CHECK(frames.end()->status() == 143);
  CHECK(ProgramEnd{.signal = "SIGRTMIN+1"}.status() == 128 + 35);
  CHECK(ProgramEnd{.signal = "SIGNEW"}.status() == 137);
}

TEST_CASE("what is not a frame is refused") {
  ExecFrames frames;
  CHECK_THROWS_AS(frames.read("HTTP/1.1 200", [](auto, auto) {}), Error);
}
