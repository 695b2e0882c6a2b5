#include "runner/exec/frames.h"

#include <algorithm>

namespace dstack::runner::exec {

std::string frame(FrameKind kind, std::string_view payload) {
  std::string text(1, static_cast<char>(kind));
  const auto length = static_cast<std::uint32_t>(payload.size());
  for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(length >> shift & 0xff);
  return text.append(payload);
}

std::size_t FrameReader::before_end(std::string_view piece) {
  std::size_t position = 0;
  while (position < piece.size() && !end_seen_) {
    const std::size_t skipped = std::min<std::size_t>(left_, piece.size() - position);
    position += skipped;
    left_ -= static_cast<std::uint32_t>(skipped);
    if (left_ > 0 || position == piece.size()) break;
    if (header_.empty() && piece[position] == static_cast<char>(FrameKind::end)) {
      end_seen_ = true;
      return position;
    }
    const std::string_view more = piece.substr(position, kFrameHeader - header_.size());
    header_ += more;
    position += more.size();
    if (header_.size() < kFrameHeader) break;
    for (std::size_t i = 1; i < kFrameHeader; ++i) left_ = left_ << 8 | static_cast<unsigned char>(header_[i]);
    header_.clear();
  }
  return end_seen_ ? 0 : piece.size();
}

}  // namespace dstack::runner::exec
