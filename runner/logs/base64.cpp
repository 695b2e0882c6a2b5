#include "runner/logs/base64.h"

#include <array>
#include <cstdint>

namespace dstack::runner {

namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// Two letters for each twelve bits: a page of logs is mostly this.
constexpr auto pairs = [] {
  std::array<std::array<char, 2>, 4096> table{};
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = {alphabet[i >> 6], alphabet[i & 63]};
  return table;
}();

}  // namespace

void append_base64(std::string& text, std::string_view data) {
  const auto byte = [&data](std::size_t index) { return std::uint32_t{static_cast<unsigned char>(data[index])}; };
  const std::size_t begin = text.size();
  text.resize(begin + (data.size() + 2) / 3 * 4);
  char* out = text.data() + begin;
  std::size_t i = 0;
  for (; i + 3 <= data.size(); i += 3, out += 4) {
    const std::uint32_t bits = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    out[0] = pairs[bits >> 12][0];
    out[1] = pairs[bits >> 12][1];
    out[2] = pairs[bits & 0xfff][0];
    out[3] = pairs[bits & 0xfff][1];
  }
  const std::size_t left = data.size() - i;
  if (left == 0) return;
  const std::uint32_t bits = byte(i) << 16 | (left == 2 ? byte(i + 1) << 8 : 0);
  out[0] = alphabet[bits >> 18];
  out[1] = alphabet[bits >> 12 & 63];
  out[2] = left == 2 ? alphabet[bits >> 6 & 63] : '=';
  out[3] = '=';
}

}  // namespace dstack::runner
