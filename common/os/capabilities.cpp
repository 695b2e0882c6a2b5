#include "common/os/capabilities.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

namespace dstack::os {

bool has_capability(Capability capability) {
  // By system call, since /proc may not be mounted; libc has no wrapper for it.
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return false;
  const auto number = static_cast<unsigned>(capability);
  return ((sets[number / 32].effective >> (number % 32)) & 1u) != 0;
}

}  // namespace dstack::os
