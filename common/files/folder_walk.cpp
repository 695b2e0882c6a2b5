#include "common/files/folder_walk.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace dstack::files {

namespace {

constexpr int kFolderFlags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

// No libc has a wrapper for it yet.
int open_beneath(int root, const char* path) {
  open_how how{};
  how.flags = kFolderFlags;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(::syscall(SYS_openat2, root, path, &how, sizeof how));
}

os::UniqueFd open_by_component(int root, const std::string& path) {
  os::UniqueFd folder;
  int at = root;
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    folder = os::UniqueFd(::openat(at, path.substr(start, end - start).c_str(), kFolderFlags));
    if (!folder) return folder;
    at = folder.get();
    start = end + 1;
  }
  return folder;
}

}  // namespace

Walk best_walk() {
  // ENOSYS before Linux 5.6; a seccomp profile that does not know the call says EPERM.
  static const Walk walk = os::UniqueFd(open_beneath(AT_FDCWD, ".")) ? Walk::by_kernel : Walk::by_component;
  return walk;
}

os::UniqueFd open_folder_below(int root, const std::string& path, Walk walk) {
  if (path.empty()) return os::UniqueFd(::openat(root, ".", kFolderFlags));
  if (walk == Walk::by_kernel) return os::UniqueFd(open_beneath(root, path.c_str()));
  return open_by_component(root, path);
}

}  // namespace dstack::files
