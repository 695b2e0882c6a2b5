#pragma once

#include <filesystem>

#include "common/os/unique_fd.h"

namespace dstack::shim {

// One daemon at a time works in a home: two would finish each other's tasks. Held until this, or the process, is gone.
class HomeLock {
 public:
  // Makes a missing home, and waits for a predecessor that is leaving, as long as that may take. Throws Error
  // (conflict) if it does not go.
  explicit HomeLock(const std::filesystem::path& home);

 private:
  os::UniqueFd fd_;
};

}  // namespace dstack::shim
