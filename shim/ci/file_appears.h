#pragma once

#include <filesystem>

#include "common/os/unique_fd.h"

namespace dstack::shim::ci {

// Notices that a file is made in a folder that exists. One thread uses it.
class FileAppears {
 public:
  explicit FileAppears(std::filesystem::path file);  // throws Error

  // Readable when something has changed in the folder.
  int fd() const { return watch_.get(); }
  // Whether the file is there; takes the change that made fd() readable.
  bool appeared() const;

 private:
  std::filesystem::path file_;
  os::UniqueFd watch_;
};

}  // namespace dstack::shim::ci
