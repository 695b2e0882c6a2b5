#include "common/os/change_owner.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <format>
#include <memory>
#include <vector>

#include "common/error.h"
#include "common/os/unique_fd.h"

namespace dstack::os {

namespace {

// A folder that is being walked through. One of them is open for each level, so a tree of any depth is walked by its
// parents' descriptors and never by a path that may have been replaced.
struct Level {
  std::unique_ptr<DIR, int (*)(DIR*)> folder;
  std::string path;  // for messages
};

// Calls `visit` for the entry and each below it, folders before what they hold, until it returns false.
class Walk {
 public:
  using Visit = std::function<bool(int folder, const std::string& name, const std::string& path, const struct stat&)>;
  using Failed = std::function<void(const std::string& message)>;

  Walk(Visit visit, Failed failed) : visit_(std::move(visit)), failed_(std::move(failed)) {}

  void run(const std::filesystem::path& path) {
    look_at(AT_FDCWD, path.native(), path.native());
    while (!levels_.empty() && !over_) {
      errno = 0;
      const dirent* entry = ::readdir(levels_.back().folder.get());
      if (entry == nullptr) {
        if (errno != 0) fail("read", levels_.back().path);
        levels_.pop_back();
      } else if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0) {
        const Level& level = levels_.back();
        look_at(::dirfd(level.folder.get()), entry->d_name, level.path + "/" + entry->d_name);
      }
    }
  }

 private:
  void look_at(int folder, const std::string& name, const std::string& path) {
    struct stat status{};
    if (::fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      // What is removed meanwhile needs no owner.
      if (errno != ENOENT || levels_.empty()) fail("look at", path);
      return;
    }
    over_ = !visit_(folder, name, path, status);
    if (S_ISDIR(status.st_mode) && !over_) enter(folder, name, path);
  }

  void enter(int folder, const std::string& name, const std::string& path) {
    UniqueFd fd(::openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    DIR* opened = fd ? ::fdopendir(fd.get()) : nullptr;
    if (opened == nullptr) return fail("open", path);
    fd.release();
    levels_.push_back({.folder = {opened, ::closedir}, .path = path});
  }

  void fail(const char* what, const std::string& path) {
    failed_(std::format("{} {}: {}", what, printable(path), describe_errno(errno)));
  }

  const Visit visit_;
  const Failed failed_;
  std::vector<Level> levels_;
  bool over_ = false;
};

}  // namespace

void change_owner(const std::filesystem::path& path, UserId uid, UserId gid,
                  const std::function<void(const std::string& message)>& failed) {
  const auto give = [&](int folder, const std::string& name, const std::string& where, const struct stat& status) {
    const bool differs = status.st_uid != uid || status.st_gid != gid;
    if (differs && ::fchownat(folder, name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0)
      failed(std::format("change the owner of {}: {}", printable(where), describe_errno(errno)));
    return true;
  };
  Walk(give, failed).run(path);
}

bool has_other_owners(const std::filesystem::path& path, UserId uid, UserId gid) {
  bool found = false;
  const auto look = [&](int, const std::string&, const std::string&, const struct stat& status) {
    found = status.st_uid != uid || status.st_gid != gid;
    return !found;
  };
  Walk(look, [](const std::string&) {}).run(path);
  return found;
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace dstack::os
