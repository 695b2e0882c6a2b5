#include "shim/host/remove_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <format>
#include <memory>
#include <optional>
#include <string_view>

#include "common/error.h"
#include "common/os/file.h"
#include "common/os/unique_fd.h"

namespace dstack::shim::host {

namespace {

struct CloseDirectory {
  void operator()(DIR* stream) const { ::closedir(stream); }
};

// Removes one folder's tree. A folder found two levels below is moved up one level first, so that none lies deeper
// however deep a job nested them: no path is ever long and no chain of descriptors is held.
class Tree {
 public:
  Tree(int parent, std::string name) : parent_(parent), name_(std::move(name)) {}

  void remove() {
    root_ = open_folder(parent_, name_.c_str());
    bool progress = true;
    while (progress) {
      failure_.reset();
      progress = false;
      for_each_entry(root_.get(), [&](const char* entry) {
        if (remove_top_entry(entry)) progress = true;
      });
    }
    if (failure_) throw Error(*failure_);
    if (::unlinkat(parent_, name_.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
      throw os_error("remove folder", name_);
  }

 private:
  static os::UniqueFd open_folder(int parent, const char* name) {
    os::UniqueFd folder(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!folder) throw os_error("open folder", printable(name));
    return folder;
  }

  template <typename Take>
  static void for_each_entry(int folder, Take take) {
    const std::unique_ptr<DIR, CloseDirectory> stream(
        ::fdopendir(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
    if (!stream) throw os_error("list folder", "");
    while (const dirent* entry = ::readdir(stream.get())) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") take(entry->d_name);
    }
  }

  // Removes a file, a link or an empty folder; false for a folder with content and for what cannot be removed.
  bool remove_simple(int folder, const char* name) {
    if (::unlinkat(folder, name, 0) == 0 || errno == ENOENT) return true;
    // Linux answers EISDIR for a folder, POSIX allows EPERM.
    if (errno == EISDIR || errno == EPERM) {
      if (::unlinkat(folder, name, AT_REMOVEDIR) == 0) return true;
      if (errno == ENOTEMPTY || errno == EEXIST) return false;
    }
    fail("remove", name);
    return false;
  }

  bool remove_top_entry(const char* name) {
    if (remove_simple(root_.get(), name)) return true;
    const os::UniqueFd folder(::openat(root_.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!folder) {
      fail("open", name);
      return false;
    }
    bool progress = false;
    for_each_entry(folder.get(), [&](const char* entry) {
      if (remove_simple(folder.get(), entry) || move_up(folder.get(), entry)) progress = true;
    });
    if (::unlinkat(root_.get(), name, AT_REMOVEDIR) == 0) return true;
    fail("remove folder", name);
    return progress;
  }

  bool move_up(int folder, const char* name) {
    while (true) {
      const std::string moved = std::format(".removing-{}", ++moved_);
      if (::renameat2(folder, name, root_.get(), moved.c_str(), RENAME_NOREPLACE) == 0) return true;
      if (errno == EEXIST) continue;
      fail("move folder", name);
      return false;
    }
  }

  void fail(const char* action, std::string_view name) {
    if (!failure_) failure_ = os_error(action, printable(name));
  }

  int parent_;
  std::string name_;
  os::UniqueFd root_;
  std::uint64_t moved_ = 0;
  std::optional<Error> failure_;
};

}  // namespace

void remove_tree(const std::filesystem::path& folder, const std::string& name) {
  const os::UniqueFd parent = os::open_file(folder, O_RDONLY | O_DIRECTORY);
  struct stat status{};
  if (::fstatat(parent.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return;
    throw os_error("look at", (folder / name).string());
  }
  if (!S_ISDIR(status.st_mode)) return remove_file(folder / name);
  try {
    Tree(parent.get(), name).remove();
  } catch (const Error& error) {
    throw Error(error.kind(), std::format("remove folder {}: {}", (folder / name).string(), error.what()));
  }
}

void remove_file(const std::filesystem::path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw os_error("remove", path.string());
}

}  // namespace dstack::shim::host
