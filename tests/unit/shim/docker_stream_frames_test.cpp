#include <catch2/catch_test_macros.hpp>
#include <string>

#include "shim/docker/stream_frames.h"

using dstack::shim::docker::StreamFrames;

namespace {

std::string frame(char stream, std::string_view piece) {
  std::string bytes{stream, 0, 0, 0, 0, 0, static_cast<char>(piece.size() >> 8U), static_cast<char>(piece.size())};
  return bytes.append(piece);
}

struct Streams {
  std::string output;
  std::string errors;
};

Streams read(std::string_view bytes, std::size_t step) {
  Streams streams;
  StreamFrames frames;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    frames.add(bytes.substr(at, step), [&](StreamFrames::Stream stream, std::string_view piece) {
      (stream == StreamFrames::Stream::errors ? streams.errors : streams.output) += piece;
    });
  }
  return streams;
}

}  // namespace

TEST_CASE("frames come out as their streams, wherever they are cut") {
  const std::string long_piece(700, 'x');
  const std::string bytes = frame(1, "out") + frame(2, "err") + frame(1, "") + frame(1, long_piece) + frame(2, "\n");
  for (std::size_t step = 1; step < 20; ++step) {
    const Streams streams = read(bytes, step);
    CHECK(streams.output == "out" + long_piece);
    CHECK(streams.errors == "err\n");
  }
}
