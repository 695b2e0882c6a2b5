#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace dstack::shim::docker {

// Takes apart what the engine sends of a container without a terminal: frames of eight bytes (the stream, three zeros,
// the length in network order) and a piece of that stream. Pieces may be cut anywhere.
class StreamFrames {
 public:
  enum class Stream { output, errors };
  using Take = std::function<void(Stream, std::string_view)>;

  void add(std::string_view bytes, const Take& take);

 private:
  static constexpr std::size_t kHeaderSize = 8;

  std::string header_;      // as far as it has come
  std::uint32_t left_ = 0;  // of the frame's piece
};

}  // namespace dstack::shim::docker
