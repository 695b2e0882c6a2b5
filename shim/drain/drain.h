#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "common/os/mutex.h"

namespace dstack::shim {

// Whether this host takes new tasks. A person drains it before maintenance; running tasks go on. It holds until it is
// undone, through restarts of the shim and the host: <home>/drained has the reason. From any thread.
class Drain {
 public:
  explicit Drain(const std::filesystem::path& home);

  // Why no new tasks are taken; nothing if they are. The reason may be empty.
  std::optional<std::string> reason() const;

  // Throws Error if that cannot be written down: nothing has changed then.
  void begin(const std::string& reason);
  void end();

  // Throws Error (exhausted) if the host is drained.
  void expect_not_drained() const;

 private:
  const std::filesystem::path file_;
  mutable os::Mutex mutex_;
  std::optional<std::string> reason_ DSTACK_GUARDED_BY(mutex_);
};

}  // namespace dstack::shim
