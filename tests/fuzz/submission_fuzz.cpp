// What is posted to /api/submit: refused with an Error or understood, never anything else.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/error.h"
#include "runner/api/schemas.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    dstack::runner::api::parse_submission({reinterpret_cast<const char*>(data), size});
  } catch (const dstack::Error&) {
  }
  return 0;
}
