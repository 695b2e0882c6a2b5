#pragma once

#include <string_view>

namespace dstack::json {

// Throws Error (invalid): "field: problem".
[[noreturn]] void refuse(std::string_view field, std::string_view problem);

// Refuses a text that would be cut at a NUL byte wherever C reads it.
void refuse_nul(std::string_view field, std::string_view text);

}  // namespace dstack::json
