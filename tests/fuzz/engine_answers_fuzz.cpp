// What an engine answers: understood or passed over, never anything worse. The first byte says what it is taken for.

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "common/error.h"
#include "shim/docker/engine_answers.h"
#include "tests/fuzz/planted.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace dstack::shim::docker;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    switch (data[0]) {
      case 'i': parse_info(parse_answer("", text)); break;
      case 'd': parse_details(parse_answer("", text)); break;
      case 'l': dstack::test::planted_bug(parse_list(parse_answer("", text)).size() == 5); break;
      case 'e': parse_event(text); break;
      case 'm': engine_message(text); break;
      default: join_output(text, false); split_output(text);
    }
  } catch (const dstack::Error&) {
  }
  return 0;
}
