#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>

#include "common/os/mutex.h"

namespace dstack::shim::component {

// What a component's file says for --version. It is asked once, and again whenever the file has changed: by another
// process too, such as a package manager. Thread-safe; asking may take 10 s.
class FileVersion {
 public:
  FileVersion(std::filesystem::path file, std::string name) : file_(std::move(file)), name_(std::move(name)) {}

  struct Answer {
    bool exists = false;
    std::string version;  // empty if the file does not say that it is this component
  };
  // Failures are logged and asked about again the next time.
  Answer ask(const std::stop_token& stop = {}) const;

 private:
  const std::filesystem::path file_;
  const std::string name_;

  mutable os::Mutex mutex_;  // held while the file is asked
  mutable std::optional<struct stat> asked_ DSTACK_GUARDED_BY(mutex_);
  mutable std::string version_ DSTACK_GUARDED_BY(mutex_);
  mutable std::string logged_ DSTACK_GUARDED_BY(mutex_);  // the last failure, which is not logged again
};

}  // namespace dstack::shim::component
