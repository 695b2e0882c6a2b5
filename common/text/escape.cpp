#include "common/text/escape.h"

#include <format>

#include "common/text/split.h"
#include "common/text/utf8.h"

namespace dstack::text {

namespace {

bool is_control(char32_t c) { return c < 0x20 || (c >= 0x7f && c < 0xa0); }

// Line separators and marks that turn the direction of what follows.
bool moves_text(char32_t c) {
  return c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

}  // namespace

std::string escape_controls(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Character first = first_character(text);
    const bool valid = first.kind == Utf8Character::Kind::valid;
    const auto byte = static_cast<unsigned char>(text[0]);
    if (valid && first.character == U'\n') {
      out += "\\n";
    } else if (valid && first.character == U'\t') {
      out += ' ';
    } else if (!valid || byte < 0x20 || byte == 0x7f) {
      out += std::format("\\x{:02x}", byte);
    } else if (is_control(first.character) || moves_text(first.character)) {
      out += std::format("\\u{:04x}", static_cast<unsigned>(first.character));
    } else {
      out += text.substr(0, first.size);
    }
    text.remove_prefix(valid ? first.size : 1);
  }
  return out;
}

std::string escape_lines(std::string_view text) {
  std::string out;
  for (const std::string_view line : split_lines(text)) {
    if (!out.empty()) out += '\n';
    out += escape_controls(line);
  }
  return out;
}

}  // namespace dstack::text
