#pragma once

#include <filesystem>

#include "common/os/unique_fd.h"

namespace dstack::os {

// Notices that a file may have changed: made, written, replaced or removed, also with the folders above it (inotify).
// For one thread.
class PathWatch {
 public:
  explicit PathWatch(std::filesystem::path file) : file_(std::move(file)) {}

  // To be called before each look at the file, so that no change in between is missed.
  void arm();

  // Readable when it may have changed since arm(). Negative if that cannot be noticed: inotify's limits are reached.
  int fd() const noexcept { return fd_.get(); }

 private:
  bool try_watch(const std::filesystem::path& folder) const;

  std::filesystem::path file_;
  UniqueFd fd_;
};

}  // namespace dstack::os
