#include "runner/chown.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <print>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/os/unique_fd.h"

namespace dstack::runner {

namespace {

// A folder that is being walked through. One of them is open for each level, so a tree of any depth is walked by its
// parents' descriptors and never by a path that may have been replaced.
struct Level {
  std::unique_ptr<DIR, int (*)(DIR*)> folder;
  std::string path;  // for messages
};

class Walk {
 public:
  explicit Walk(const ChownCommand& command) : uid_(command.uid), gid_(command.gid) {}

  bool run(const std::filesystem::path& path) {
    visit(AT_FDCWD, path.native(), path.native());
    while (!levels_.empty()) {
      errno = 0;
      const dirent* entry = ::readdir(levels_.back().folder.get());
      if (entry == nullptr) {
        if (errno != 0) fail("read", levels_.back().path);
        levels_.pop_back();
      } else if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0) {
        const Level& level = levels_.back();
        visit(::dirfd(level.folder.get()), entry->d_name, level.path + "/" + entry->d_name);
      }
    }
    return good_;
  }

 private:
  void visit(int folder, const std::string& name, const std::string& path) {
    struct stat status{};
    if (::fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      // What is removed meanwhile needs no owner.
      if (errno != ENOENT || levels_.empty()) fail("look at", path);
      return;
    }
    const bool differs = status.st_uid != uid_ || status.st_gid != gid_;
    if (differs && ::fchownat(folder, name.c_str(), uid_, gid_, AT_SYMLINK_NOFOLLOW) != 0)
      fail("change the owner of", path);
    if (S_ISDIR(status.st_mode)) enter(folder, name, path);
  }

  void enter(int folder, const std::string& name, const std::string& path) {
    os::UniqueFd fd(::openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    DIR* opened = fd ? ::fdopendir(fd.get()) : nullptr;
    if (opened == nullptr) return fail("open", path);
    fd.release();
    levels_.push_back({.folder = {opened, ::closedir}, .path = path});
  }

  void fail(const char* what, const std::string& path) {
    std::println(stderr, "dstack-runner: {} {}: {}", what, printable(path), describe_errno(errno));
    good_ = false;
  }

  const os::UserId uid_;
  const os::UserId gid_;
  std::vector<Level> levels_;
  bool good_ = true;
};

}  // namespace

int run_chown(const ChownCommand& command) {
  // A descriptor for each level.
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  return Walk(command).run(command.path) ? 0 : 1;
}

}  // namespace dstack::runner
