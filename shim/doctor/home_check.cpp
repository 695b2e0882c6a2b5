#include "shim/doctor/home_check.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <format>

#include "common/error.h"
#include "common/os/unique_fd.h"

namespace dstack::shim::doctor {

namespace {

// 0, or the errno value of what keeps files from being made there.
int try_to_write(const std::filesystem::path& folder) {
  const os::UniqueFd file(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file) return 0;
  const int code = errno;
  // Not every file system knows of files without a name.
  if (code != EOPNOTSUPP && code != EISDIR && code != ENOENT) return code;
  return ::access(folder.c_str(), W_OK | X_OK) == 0 ? 0 : errno;
}

}  // namespace

Finding check_home(const Host& host) {
  // One that is not there yet is made by the daemon.
  std::filesystem::path folder = host.home;
  std::error_code failure;
  while (!std::filesystem::exists(folder, failure) && folder.has_relative_path()) folder = folder.parent_path();
  const int code = try_to_write(folder);
  if (code == 0) return ok(readable(host.home.string()));
  const std::string found = std::format("{}: {}", readable(folder.string()), describe_errno(code));
  if (code == EROFS) {
    return broken(found + ": no task can be started or removed; the file system is read-only",
                  "`dmesg` says whether the disk has an error; repair it (`fsck`) and mount it again, then restart the "
                  "service, or put the home elsewhere (DSTACK_SHIM_HOME)");
  }
  if (code == ENOSPC || code == EDQUOT) {
    return broken(found + ": no task can be started",
                  "make room: `df -h` and `df -i` show what is full, `quota` whose limit is reached");
  }
  if ((code == EACCES || code == EPERM) && ::geteuid() != 0) return warning(found, "run this as root");
  return broken(found + ": the shim keeps its tasks there",
                "make it a folder that root can write, or name another with DSTACK_SHIM_HOME");
}

}  // namespace dstack::shim::doctor
