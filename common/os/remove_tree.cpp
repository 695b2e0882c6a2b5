#include "common/os/remove_tree.h"

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

namespace dstack::os {

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
  static UniqueFd open_folder(int parent, const char* name) {
    UniqueFd folder(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!folder) throw os_error("open folder", printable(name));
    return folder;
  }

  template <typename Take>
  static void for_each_entry(int folder, Take take) {
    UniqueFd own(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const std::unique_ptr<DIR, CloseDirectory> stream(own ? ::fdopendir(own.get()) : nullptr);
    if (!stream) throw os_error("list folder", "");
    own.release();  // the stream's from here on
    while (true) {
      errno = 0;  // tells an error from the end
      const dirent* entry = ::readdir(stream.get());
      if (entry == nullptr) break;
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") take(entry->d_name);
    }
    if (errno != 0) throw os_error("list folder", "");
  }

  enum class Removal { done, has_content, failed };

  // Removes a file, a link or an empty folder. What a volume is mounted on fails, and so is never looked into.
  Removal remove_simple(int folder, const char* name) {
    if (::unlinkat(folder, name, 0) == 0 || errno == ENOENT) return Removal::done;
    // Linux answers EISDIR for a folder, POSIX allows EPERM.
    if (errno == EISDIR || errno == EPERM) {
      if (::unlinkat(folder, name, AT_REMOVEDIR) == 0) return Removal::done;
      if (errno == ENOTEMPTY || errno == EEXIST) return Removal::has_content;
    }
    fail("remove", name);
    return Removal::failed;
  }

  bool remove_top_entry(const char* name) {
    const Removal removal = remove_simple(root_.get(), name);
    if (removal != Removal::has_content) return removal == Removal::done;
    const UniqueFd folder(::openat(root_.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!folder) {
      fail("open", name);
      return false;
    }
    bool progress = false;
    for_each_entry(folder.get(), [&](const char* entry) {
      const Removal inner = remove_simple(folder.get(), entry);
      if (inner == Removal::done || (inner == Removal::has_content && move_up(folder.get(), entry))) progress = true;
    });
    if (::unlinkat(root_.get(), name, AT_REMOVEDIR) == 0) return true;
    fail("remove folder", name);
    return progress;
  }

  bool move_up(int folder, const char* name) {
    while (true) {
      const std::string moved = std::format(".removing-{}", ++moved_);
      // Over an empty folder is as well: that is to go too.
      if (::renameat(folder, name, root_.get(), moved.c_str()) == 0) return true;
      if (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR) continue;
      fail("move folder", name);
      return false;
    }
  }

  void fail(const char* action, std::string_view name) {
    if (!failure_) failure_ = os_error(action, printable(name));
  }

  int parent_;
  std::string name_;
  UniqueFd root_;
  std::uint64_t moved_ = 0;
  std::optional<Error> failure_;
};

}  // namespace

void remove_tree(const std::filesystem::path& folder, const std::string& name) {
  const UniqueFd parent = open_file(folder, O_RDONLY | O_DIRECTORY);
  remove_tree(parent.get(), folder, name);
}

void remove_tree(int parent, const std::filesystem::path& folder, const std::string& name) {
  struct stat status{};
  if (::fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return;
    throw os_error("look at", (folder / name).string());
  }
  if (!S_ISDIR(status.st_mode)) {
    if (::unlinkat(parent, name.c_str(), 0) != 0 && errno != ENOENT) {
      throw os_error("remove", (folder / name).string());
    }
    return;
  }
  try {
    Tree(parent, name).remove();
  } catch (const Error& error) {
    throw Error(error.kind(), std::format("remove folder {}: {}", (folder / name).string(), error.what()));
  }
}

void remove_file(const std::filesystem::path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw os_error("remove", path.string());
}

}  // namespace dstack::os
