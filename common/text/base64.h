#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dstack::text {

// Base64 with padding (RFC 4648, 4), appended to `out`.
void append_base64(std::string& out, std::string_view data);

// The same as a string of its own.
std::string base64(std::string_view data);

// With the alphabet for URLs and file names (RFC 4648, 5), padded too.
std::string base64_url(std::string_view data);

// The bytes of padded base64, nothing if it is malformed: another character, a wrong length, bits left over.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace dstack::text
