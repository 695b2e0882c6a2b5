#pragma once

#include <filesystem>
#include <string_view>

#include "common/os/unique_fd.h"

namespace dstack::shim::docker {

// A task's pull.log: the engine's progress stream as it came. A file that cannot be written is logged, and costs the
// pull nothing but its log. One thread at a time.
class PullLog {
 public:
  // Mode 0600, what was there before is gone, a link is not followed. An empty path: no log.
  explicit PullLog(const std::filesystem::path& path);

  bool is_open() const { return static_cast<bool>(file_); }
  void append(std::string_view data);
  // Appends what another one has until now.
  void append_all_of(const PullLog& other);

 private:
  os::UniqueFd file_;
};

}  // namespace dstack::shim::docker
