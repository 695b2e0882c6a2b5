#pragma once

#include <filesystem>
#include <string>

#include "common/error.h"
#include "runner/job/environment.h"

namespace dstack::runner::job {

// The command cannot be run, as no program of that name is there or the one that is cannot be executed.
class CannotExecute : public Error {
 public:
  enum class Reason { not_found, not_executable };
  CannotExecute(Reason reason, const std::string& message) : Error(ErrorKind::invalid, message), reason_(reason) {}
  Reason reason() const { return reason_; }

 private:
  Reason reason_;
};

// The file that `name` stands for. With a slash in it, it is itself; otherwise the first executable file of that name
// in the folders of the container's PATH, or of the usual ones where PATH is absent. Relative folders in PATH are
// passed over: where they lead depends on who looks. Throws CannotExecute that names it and says why there is none.
std::filesystem::path resolve_command(const std::string& name, const Environment& container);

}  // namespace dstack::runner::job
