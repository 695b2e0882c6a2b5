#include "common/text/octal_escapes.h"

#include "common/text/number.h"

namespace dstack::text {

std::string unescape_octal(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto byte =
        text.size() >= 4 && text[0] == '\\' ? parse_number<unsigned char>(text.substr(1, 3), 8) : std::nullopt;
    out += byte ? static_cast<char>(*byte) : text[0];
    text.remove_prefix(byte ? 4 : 1);
  }
  return out;
}

}  // namespace dstack::text
