#include "common/text/base64.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace dstack::text {

namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// Two letters for each twelve bits: a page of logs is mostly this.
constexpr auto kPairs = [] {
  std::array<std::array<char, 2>, 4096> table{};
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = {kAlphabet[i >> 6], kAlphabet[i & 63]};
  return table;
}();

std::uint32_t byte(std::string_view data, std::size_t index) { return static_cast<unsigned char>(data[index]); }

}  // namespace

void append_base64(std::string& out, std::string_view data) {
  const std::size_t begin = out.size();
  out.resize(begin + (data.size() + 2) / 3 * 4);
  char* to = out.data() + begin;
  std::size_t i = 0;
  for (; i + 3 <= data.size(); i += 3, to += 4) {
    const std::uint32_t bits = byte(data, i) << 16 | byte(data, i + 1) << 8 | byte(data, i + 2);
    to[0] = kPairs[bits >> 12][0];
    to[1] = kPairs[bits >> 12][1];
    to[2] = kPairs[bits & 0xfff][0];
    to[3] = kPairs[bits & 0xfff][1];
  }
  const std::size_t left = data.size() - i;
  if (left == 0) return;
  const std::uint32_t bits = byte(data, i) << 16 | (left == 2 ? byte(data, i + 1) << 8 : 0);
  to[0] = kAlphabet[bits >> 18];
  to[1] = kAlphabet[bits >> 12 & 63];
  to[2] = left == 2 ? kAlphabet[bits >> 6 & 63] : '=';
  to[3] = '=';
}

std::string base64(std::string_view data) {
  std::string out;
  append_base64(out, data);
  return out;
}

std::string base64_url(std::string_view data) {
  std::string out = base64(data);
  std::ranges::replace(out, '+', '-');
  std::ranges::replace(out, '/', '_');
  return out;
}

std::optional<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  std::string out;
  out.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  int count = 0;  // of the bits that are not written yet
  for (const char letter : text.substr(0, text.size() - padding)) {
    const std::size_t value = kAlphabet.find(letter);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(static_cast<unsigned char>(bits >> count & 0xff));
  }
  if ((bits & ((1U << count) - 1)) != 0) return std::nullopt;
  return out;
}

}  // namespace dstack::text
