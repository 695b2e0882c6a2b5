#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "common/os/clock.h"
#include "common/os/mutex.h"

namespace dstack::shim::task {

// How much of removed tasks' logs is kept, and for how long.
struct LogLimits {
  std::uint64_t bytes = 0;
  std::chrono::seconds age{0};
};

// "10G,30d": a size with K, M, G or T (powers of 1024), and an age with s, m, h, d or w. Throws Error (invalid).
LogLimits parse_log_limits(std::string_view text);

// The logs of tasks that were removed: <folder>/<container name>/, 0700, with files that are root's alone. Failures are
// logged and keep nothing else from being done. All members may be called from any thread.
class KeptLogs {
 public:
  // The folder is made when there is something to keep.
  KeptLogs(std::filesystem::path folder, LogLimits limits, os::Clock& clock)
      : folder_(std::move(folder)), limits_(limits), clock_(clock) {}

  // Moves a task's logs here. What lies in `runner_folder` may have been made by a hostile job: only plain files are
  // taken. For a container without a runner, `write_output` writes what the engine kept of its output to a file.
  void keep(const std::string& container_name, const std::filesystem::path& runner_folder,
            const std::filesystem::path& journal_folder, const std::function<void(int fd)>& write_output);

  // Removes what is too old, then the oldest until the rest is small enough.
  void prune();

 private:
  void keep_locked(const std::string& container_name, const std::filesystem::path& runner_folder,
                   const std::filesystem::path& journal_folder, const std::function<void(int fd)>& write_output)
      DSTACK_REQUIRES(mutex_);

  const std::filesystem::path folder_;
  const LogLimits limits_;
  os::Clock& clock_;
  os::Mutex mutex_;
};

}  // namespace dstack::shim::task
