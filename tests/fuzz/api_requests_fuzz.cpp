// What is posted to the shim's API: refused with an Error, or understood so that it can be written into a journal. The
// first byte says which request.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "common/error.h"
#include "shim/api/schemas.h"
#include "tests/fuzz/planted.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace dstack;
  if (size == 0) return 0;
  const std::string body(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    switch (data[0]) {
      case 't': {
        const auto request = shim::api::read_terminate(body);
        if (request.grace.count() < 0) std::abort();
        break;
      }
      case 'i': shim::api::read_install(body); break;
      case 'f': shim::api::read_force(body); break;
      default: {
        const auto request = shim::api::read_submit(body);
        test::planted_bug(request.config.volumes.size() == 2 && request.config.volume_mounts.size() == 3);
      }
    }
  } catch (const Error&) {
  }
  return 0;
}
