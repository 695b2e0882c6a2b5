#include "shim/ci/owner_file.h"

namespace dstack::shim::ci {

std::filesystem::path owner_file(const std::filesystem::path& state) {
  const std::filesystem::path file = state / "owner";
  std::error_code failure;
  return std::filesystem::exists(file, failure) ? std::filesystem::absolute(file).lexically_normal()
                                                : std::filesystem::path();
}

}  // namespace dstack::shim::ci
