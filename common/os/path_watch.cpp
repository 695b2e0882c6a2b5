#include "common/os/path_watch.h"

#include <sys/inotify.h>

namespace dstack::os {

namespace fs = std::filesystem;

bool PathWatch::try_watch(const fs::path& folder) const {
  constexpr std::uint32_t kChanges =
      IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
  return ::inotify_add_watch(fd_.get(), folder.c_str(), kChanges) >= 0;
}

void PathWatch::arm() {
  // Anew, without the events and folders of before.
  fd_.reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!fd_) return;
  // The file's folder or, if that is missing, the nearest one above it, in which the next one will be made.
  fs::path folder = file_.parent_path();
  bool is_watched = try_watch(folder);
  while (!is_watched && folder.has_relative_path()) {
    folder = folder.parent_path();
    is_watched = try_watch(folder);
  }
  if (!is_watched) return fd_.reset();
  // Those below that have been made meanwhile.
  for (fs::path below = file_.parent_path(); below != folder; below = below.parent_path()) try_watch(below);
}

}  // namespace dstack::os
