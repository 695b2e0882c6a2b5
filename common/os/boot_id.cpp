#include "common/os/boot_id.h"

#include "common/os/file.h"
#include "common/text/trim.h"

namespace dstack::os {

std::string boot_id() {
  const std::string id = try_read_file("/proc/sys/kernel/random/boot_id").value_or("");
  return std::string(text::trim(id));
}

}  // namespace dstack::os
