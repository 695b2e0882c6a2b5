#include "shim/ci/own_program.h"

#include <unistd.h>

#include <format>
#include <string>

namespace dstack::shim::ci {

std::filesystem::path own_program() {
  std::error_code failure;
  // By number: another process may follow it.
  const std::filesystem::path link = std::format("/proc/{}/exe", ::getpid());
  const std::filesystem::path file = std::filesystem::read_symlink(link, failure);
  return failure || file.string().ends_with(" (deleted)") ? link : file;
}

}  // namespace dstack::shim::ci
