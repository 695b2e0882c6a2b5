#pragma once

#include <cstddef>
#include <deque>
#include <string>

namespace dstack::shim::top {

// The last values of one figure, oldest first, for a sparkline.
class History {
 public:
  explicit History(std::size_t limit) : limit_(limit) {}

  void add(double value);
  const std::deque<double>& values() const { return values_; }

 private:
  std::size_t limit_;
  std::deque<double> values_;
};

// The last `width` values as one character each, from 0 to `top`; blanks in front where there are fewer. Block
// characters, or ASCII ones for a terminal without UTF-8.
std::string sparkline(const History& history, double top, std::size_t width, bool utf8);

}  // namespace dstack::shim::top
