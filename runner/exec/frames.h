#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dstack::runner::exec {

// How the output of a program travels: a byte for the kind, four for the length (big-endian), then the payload.
enum class FrameKind : char { output = 1, errors = 2, end = 3 };

inline constexpr std::size_t kFrameHeader = 5;

std::string frame(FrameKind kind, std::string_view payload);

// Follows a stream of frames to find the last one.
class FrameReader {
 public:
  // How many bytes of the next piece come before the end's frame; all of them if it does not begin there.
  std::size_t before_end(std::string_view piece);
  bool end_seen() const { return end_seen_; }

 private:
  std::string header_;      // the part of a header that has come
  std::uint32_t left_ = 0;  // bytes of the present frame
  bool end_seen_ = false;
};

}  // namespace dstack::runner::exec
