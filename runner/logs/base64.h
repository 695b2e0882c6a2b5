#pragma once

#include <string>
#include <string_view>

namespace dstack::runner {

// Appends `data` to `text` in the standard alphabet, padded.
void append_base64(std::string& text, std::string_view data);

}  // namespace dstack::runner
