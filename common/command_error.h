#pragma once

#include "common/error.h"
#include "common/exit_status.h"

namespace dstack {

// A failure that ends a command with a status of its own (common/exit_status.h).
class CommandError : public Error {
 public:
  CommandError(int exit_status, const std::string& message, ErrorKind kind = ErrorKind::invalid)
      : Error(kind, message), exit_status_(exit_status) {}

  int exit_status() const noexcept { return exit_status_; }

 private:
  int exit_status_;
};

// A flag or an argument that is not understood.
inline CommandError usage_error(const std::string& message) { return {exit_status::kUsage, message}; }

}  // namespace dstack
