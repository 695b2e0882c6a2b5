#include "common/error.h"

#include <cstring>
#include <format>
#include <system_error>

#include "common/text/utf8.h"

namespace dstack {

std::string describe_errno(int code) { return std::generic_category().message(code); }

ErrorKind error_kind(const std::exception& error) {
  const auto* ours = dynamic_cast<const Error*>(&error);
  return ours != nullptr ? ours->kind() : ErrorKind::internal;
}

Error os_error(std::string_view action, std::string_view subject, int code) {
  const ErrorKind kind = code == ENOENT   ? ErrorKind::not_found
                         : code == EACCES ? ErrorKind::denied
                                          : ErrorKind::internal;
  if (subject.empty()) return {kind, std::format("{}: {}", action, describe_errno(code))};
  return {kind, std::format("{} {}: {}", action, subject, describe_errno(code))};
}

std::string printable(std::string_view text, std::size_t limit) {
  std::string out = "\"";
  const bool cut = text.size() > limit;
  text = text.substr(0, text::character_boundary(text, limit));
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text[0]);
    const text::Utf8Character first = text::first_character(text);
    const bool valid = first.kind == text::Utf8Character::Kind::valid;
    if (byte == '"' || byte == '\\') {
      out += '\\';
      out += text[0];
    } else if (byte == '\n') {
      out += "\\n";
    } else if (!valid || byte < 0x20 || byte == 0x7f) {
      out += std::format("\\x{:02x}", byte);
    } else if (byte == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0) {
      // The other half of the control characters: U+009B begins a terminal's sequence as ESC [ does.
      out += std::format("\\u{:04x}", static_cast<unsigned char>(text[1]));
    } else {
      out += text.substr(0, first.size);
    }
    text.remove_prefix(valid ? first.size : 1);
  }
  out += cut ? "…\"" : "\"";
  return out;
}

}  // namespace dstack
