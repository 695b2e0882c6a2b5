#include "shim/client/tar_text.h"

#include <algorithm>
#include <format>

namespace dstack::shim::client {

namespace {

constexpr std::size_t kBlock = 512;
constexpr std::size_t kLongestName = 99;

// The fields of a POSIX (ustar) header that are not zero, at their places.
std::string header(std::string_view name, std::size_t size, std::int64_t time) {
  std::string block(kBlock, '\0');
  const auto put = [&block](std::size_t at, std::string_view text) { block.replace(at, text.size(), text); };
  put(0, name.substr(0, kLongestName));
  put(100, "0000600");
  put(108, "0000000");
  put(116, "0000000");
  put(124, std::format("{:011o}", size));
  put(136, std::format("{:011o}", std::max<std::int64_t>(time, 0)));
  put(148, "        ");  // counts as blanks in its own sum
  put(156, "0");
  put(257, std::string_view("ustar\0", 6));
  put(263, "00");
  unsigned sum = 0;
  for (const char byte : block) sum += static_cast<unsigned char>(byte);
  put(148, std::format("{:06o}", sum));
  block[154] = '\0';
  return block;
}

}  // namespace

void TarText::add(std::string_view name, std::string_view content, std::int64_t time) {
  bytes_ += header(name, content.size(), time);
  bytes_ += content;
  bytes_.append((kBlock - content.size() % kBlock) % kBlock, '\0');
}

std::string TarText::finish() && {
  bytes_.append(2 * kBlock, '\0');
  return std::move(bytes_);
}

}  // namespace dstack::shim::client
