// What GPU tools print.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "runner/metrics/gpu.h"
#include "runner/ssh/connections.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  dstack::runner::metrics::parse_smi_csv(text);
  dstack::runner::metrics::parse_amd_smi_csv(text);
  dstack::runner::ssh::find_connections(text, 10022);
  return 0;
}
