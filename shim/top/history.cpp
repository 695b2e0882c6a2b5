#include "shim/top/history.h"

#include <algorithm>
#include <array>

namespace dstack::shim::top {

void History::add(double value) {
  values_.push_back(value);
  if (values_.size() > limit_) values_.pop_front();
}

std::string sparkline(const History& history, double top, std::size_t width, bool utf8) {
  static constexpr std::array kBlocks{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  static constexpr std::array kAscii{"_", ".", ":", "-", "=", "+", "*", "#"};
  const auto& values = history.values();
  const std::size_t count = std::min(width, values.size());
  std::string text(width - count, ' ');
  for (std::size_t i = values.size() - count; i < values.size(); ++i) {
    const double share = top > 0 ? std::clamp(values[i] / top, 0.0, 1.0) : 0;
    const auto step = std::min(static_cast<std::size_t>(share * kBlocks.size()), kBlocks.size() - 1);
    text += utf8 ? kBlocks[step] : kAscii[step];
  }
  return text;
}

}  // namespace dstack::shim::top
