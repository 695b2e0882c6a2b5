#include "shim/docker/stream_frames.h"

#include <algorithm>

namespace dstack::shim::docker {

namespace {

std::uint32_t length_in(std::string_view header) {
  std::uint32_t length = 0;
  for (const char byte : header.substr(4)) length = length << 8U | static_cast<unsigned char>(byte);
  return length;
}

}  // namespace

void StreamFrames::add(std::string_view bytes, const Take& take) {
  while (!bytes.empty()) {
    if (left_ == 0) {
      const std::size_t count = std::min(kHeaderSize - header_.size(), bytes.size());
      header_ += bytes.substr(0, count);
      bytes.remove_prefix(count);
      if (header_.size() < kHeaderSize) return;
      left_ = length_in(header_);
      if (left_ == 0) header_.clear();
      continue;
    }
    const std::size_t count = std::min<std::size_t>(left_, bytes.size());
    take(header_.front() == '\2' ? Stream::errors : Stream::output, bytes.substr(0, count));
    bytes.remove_prefix(count);
    left_ -= static_cast<std::uint32_t>(count);
    if (left_ == 0) header_.clear();
  }
}

}  // namespace dstack::shim::docker
