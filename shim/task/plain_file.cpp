#include "shim/task/plain_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <format>

#include "common/error.h"
#include "common/os/file.h"

namespace dstack::shim::task {

std::optional<os::UniqueFd> open_plain_file(const std::filesystem::path& path) {
  const os::UniqueFd found(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!found && errno == ENOENT) return std::nullopt;
  struct stat entry{};
  if (!found || ::fstat(found.get(), &entry) != 0) throw os_error("open", printable(path.string()));
  if (!S_ISREG(entry.st_mode)) throw Error(ErrorKind::conflict, printable(path.string()) + " is no longer a file");
  return os::open_file(std::format("/proc/self/fd/{}", found.get()), O_RDONLY);
}

}  // namespace dstack::shim::task
