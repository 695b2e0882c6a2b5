#include "shim/gpu/machine_memory.h"

#include "common/os/file.h"
#include "shim/gpu/tool_output.h"

namespace dstack::shim::gpu {

std::int64_t machine_memory(const std::filesystem::path& root) {
  constexpr std::string_view name = "MemTotal:";
  const std::string text = os::try_read_file(root / "proc/meminfo").value_or("");
  for (const std::string_view line : lines_of(text)) {
    if (line.starts_with(name)) return parse_mebibytes(line.substr(name.size())).value_or(0);
  }
  return 0;
}

}  // namespace dstack::shim::gpu
