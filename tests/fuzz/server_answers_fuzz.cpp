// What a dstack server answers: understood, or refused with an Error. The first byte says what it was asked for.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/error.h"
#include "common/server_api/answer.h"
#include "common/server_api/parse.h"
#include "common/server_api/time.h"
#include "common/text/utf8.h"
#include "shim/autoscale/rule.h"
#include "shim/ci/cloud/server_run.h"
#include "tests/fuzz/first_byte.h"
#include "tests/fuzz/planted.h"

namespace {

using namespace dstack;
using test::planted_bug;

void read(char kind, std::string_view text) {
  if (kind == 'x') {
    const server_api::ServerError error = server_api::read_error(text);
    if (error.message.contains('\n') || error.message.contains('\x1b')) std::abort();
    return;
  }
  if (kind == 'w') {
    if (const auto time = server_api::parse_time(text)) server_api::rfc3339(*time);
    return;
  }
  const nlohmann::json answer = nlohmann::json::parse(text, nullptr, false);
  switch (kind) {
    case 'u': server_api::parse_my_user(answer); break;
    case 'p': server_api::parse_project(answer); break;
    case 'f': {
      const auto fleets = server_api::parse_fleets(answer);
      const auto rules = shim::autoscale::rules_of(fleets);
      planted_bug(fleets.size() == 2 && fleets[1].instances.size() == 1 && fleets[1].instances[0].busy_blocks > 1);
      break;
    }
    case 'o': server_api::parse_fleet_plan(answer); break;
    case 'e': server_api::parse_events(answer); break;
    case 'r': server_api::parse_runs(answer); break;
    default: shim::ci::cloud::parse_run(answer);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return dstack::test::read_by_first_byte(data, size, read);
}
