#pragma once

#include <optional>

#include "common/files/owner.h"

namespace dstack::files {

// While it lives, what this thread makes in file systems belongs to the owner from its first moment on, while the
// thread keeps its own rights. Without an owner nothing changes. Throws Error.
class FileIdentity {
 public:
  explicit FileIdentity(const std::optional<Owner>& owner);
  FileIdentity(const FileIdentity&) = delete;
  FileIdentity& operator=(const FileIdentity&) = delete;
  ~FileIdentity();

 private:
  std::optional<Owner> previous_;
};

}  // namespace dstack::files
