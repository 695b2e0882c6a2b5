// What is posted to /api/submit: refused with an Error or understood, never anything else.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/error.h"
#include "runner/api/schemas.h"
#include "tests/fuzz/planted.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto submission = dstack::runner::api::parse_submission({reinterpret_cast<const char*>(data), size});
    dstack::test::planted_bug(submission.file_archives.size() == 2);
  } catch (const dstack::Error&) {
  }
  return 0;
}
