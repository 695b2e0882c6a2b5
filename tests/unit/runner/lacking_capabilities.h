#pragma once

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <initializer_list>

namespace dstack::test {

// While it lives, this thread does without some capabilities, as a container may.
class LackingCapabilities {
 public:
  explicit LackingCapabilities(std::initializer_list<unsigned> lacking) {
    ::syscall(SYS_capget, &header_, before_.data());
    auto fewer = before_;
    for (const unsigned capability : lacking) fewer[0].effective &= ~(1u << capability);
    ::syscall(SYS_capset, &header_, fewer.data());
  }
  LackingCapabilities(const LackingCapabilities&) = delete;
  LackingCapabilities& operator=(const LackingCapabilities&) = delete;
  ~LackingCapabilities() { ::syscall(SYS_capset, &header_, before_.data()); }

 private:
  __user_cap_header_struct header_{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> before_{};
};

}  // namespace dstack::test
