// What GPU tools print.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "runner/metrics/gpu.h"
#include "runner/ssh/connections.h"
#include "tests/fuzz/planted.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto gpus = dstack::runner::metrics::parse_smi_csv(text);
  dstack::test::planted_bug(gpus.size() == 4 && gpus[1].utilization_percent > 100);
  dstack::runner::metrics::parse_amd_smi_csv(text);
  dstack::runner::ssh::find_connections(text, 10022);
  return 0;
}
