#pragma once

#include <optional>
#include <string>

#include "common/os/clock.h"

namespace dstack::shim::host_end {

// That this host is about to go down.
struct Notice {
  std::string cause;                    // "AWS interrupts this spot instance (terminate)"
  std::optional<os::WallTime> down_at;  // nothing if that is not known: soon
  bool final = true;                    // nothing can call it off: jobs are stopped at once, however much time is left

  friend bool operator==(const Notice&, const Notice&) = default;
};

}  // namespace dstack::shim::host_end
