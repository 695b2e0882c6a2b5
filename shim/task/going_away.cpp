#include "shim/task/going_away.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>

#include <cerrno>

#include "common/error.h"
#include "common/os/unique_fd.h"

namespace dstack::shim::task {

namespace {

// <work folder>/agents/<agent>/state/owner is the deepest.
constexpr int kDepth = 4;

}  // namespace

bool announce_end_to_launcher(const std::filesystem::path& path) {
  std::filesystem::path folder = path;
  for (int level = 0; level < kDepth && folder.has_relative_path(); ++level) {
    folder = folder.parent_path();
    std::error_code failure;
    if (!std::filesystem::exists(folder / "launcher.json", failure)) continue;
    const std::filesystem::path file = folder / "going-away";
    // The folder may be another user's: no link is followed.
    if (os::UniqueFd(::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644))) {
      spdlog::info("The CI launcher in {} learns that the host goes down", printable(folder.string()));
      return true;
    }
    if (errno == EEXIST) return true;
    spdlog::warn("{}", os_error("create", file.string()).what());
    return false;
  }
  return false;
}

}  // namespace dstack::shim::task
