// An image's name: refused, or taken apart so that the parts make a name that is taken apart in the same way and has
// no byte that means something in a URL.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "common/error.h"
#include "shim/docker/image_reference.h"
#include "tests/fuzz/planted.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace dstack::shim::docker;
  ImageReference reference;
  try {
    reference = parse_image_reference({reinterpret_cast<const char*>(data), size});
  } catch (const dstack::Error&) {
    return 0;
  }
  dstack::test::planted_bug(reference.tag.empty() && reference.repository.contains(':'));
  const std::string name = reference.name();
  if (parse_image_reference(name) != reference) std::abort();
  if (reference.tag.empty() && reference.digest.empty()) std::abort();
  if (name.find_first_of("?#%\\ \n\r\t\"'") != std::string::npos || name.contains("/../")) std::abort();
  return 0;
}
