#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/error.h"

namespace dstack::test {

// An input whose first byte says what the rest is, for a target of several parsers: calls `read` with both. An Error is
// how a parser refuses what it is given. What LLVMFuzzerTestOneInput returns.
inline int read_by_first_byte(const std::uint8_t* data, std::size_t size, void (*read)(char what, std::string_view)) {
  if (size == 0) return 0;
  try {
    read(static_cast<char>(data[0]), {reinterpret_cast<const char*>(data) + 1, size - 1});
    return 0;
  } catch (const Error&) {
    return 0;
  }
}

}  // namespace dstack::test
