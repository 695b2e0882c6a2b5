#include "common/files/tree.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <format>
#include <ranges>

#include "common/error.h"
#include "common/files/entry_path.h"
#include "common/files/file_identity.h"
#include "common/os/capabilities.h"
#include "common/os/file.h"
#include "common/os/remove_tree.h"

namespace dstack::files {

namespace {

constexpr mode_t kPermissions = 0777;
constexpr mode_t kMadeFolderMode = 0755;

// The part of `path` below `root` that keeps it from being a way through folders; empty if there is none any more.
std::string find_link(int root, const std::string& path) {
  for (std::size_t end = path.find('/');; end = path.find('/', end + 1)) {
    std::string part = path.substr(0, end);
    struct stat status{};
    // Only to find words for a failure: what it follows does no harm.
    if (::fstatat(root, part.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return "";
    if (S_ISLNK(status.st_mode)) return part;
    if (end == std::string::npos) return "";
  }
}

// Folders above it may be closed to all but the owner.
os::UniqueFd open_root(const std::filesystem::path& root, const std::optional<Owner>& owner) {
  if (owner && ::access(root.c_str(), F_OK) != 0 && errno == EACCES) {
    const FileIdentity identity(owner);
    return os::open_file(root, O_PATH | O_DIRECTORY);
  }
  return os::open_file(root, O_PATH | O_DIRECTORY);
}

// Beyond this many, a folder's mode is not worth the memory.
constexpr std::size_t kRememberedFolders = 100'000;

}  // namespace

Tree::Tree(const std::filesystem::path& root, std::optional<Owner> owner, Walk walk)
    : owner_(owner),
      walk_(walk),
      may_override_(os::has_capability(os::Capability::dac_override)),
      root_(open_root(root, may_override_ ? std::nullopt : owner)),
      write_as_owner_(!may_override_ && owner && ::faccessat(root_.get(), ".", W_OK | X_OK, AT_EACCESS) != 0) {}

FileIdentity Tree::act() const { return FileIdentity(write_as_owner_ ? owner_ : std::nullopt); }

Error Tree::failure(std::string_view action, const std::string& path, int code) {
  if (code == ELOOP || code == ENOTDIR) {
    const std::string link = find_link(root_.get(), std::string(folder_of(path)));
    if (!link.empty()) {
      return {ErrorKind::invalid,
              std::format("{} leads through the symbolic link {}", printable(path), printable(link))};
    }
  }
  return os_error(action, printable(path), code);
}

int Tree::folder_for(const std::string& path, bool make_missing) {
  const std::string_view wanted = folder_of(path);
  if (folder_path_ && *folder_path_ == wanted) return folder_.get();
  folder_path_.reset();
  const std::string folder(wanted);
  folder_ = open_folder_below(root_.get(), folder, walk_);
  // NOLINTNEXTLINE(clang-analyzer-unix.Errno): open_folder_below says why in it
  if (!folder_ && errno == ENOENT && make_missing) folder_ = make_folders(folder);
  if (!folder_) return -1;
  folder_path_ = folder;
  return folder_.get();
}

// From the first component on, since which one is missing is not known.
os::UniqueFd Tree::make_folders(const std::string& path) {
  os::UniqueFd parent = open_folder_below(root_.get(), "", walk_);
  for (std::size_t start = 0; parent && start <= path.size();) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    const std::string name = path.substr(start, end - start);
    os::UniqueFd folder = open_folder_below(parent.get(), name, walk_);
    if (!folder && errno == ENOENT) {
      if (::mkdirat(parent.get(), name.c_str(), 0700) == 0) {
        settle_folder(parent.get(), name, path.substr(0, end), kMadeFolderMode);
        if (needed_.size() < kRememberedFolders) needed_.insert(path.substr(0, end));
      } else if (errno != EEXIST) {
        return {};
      }
      folder = open_folder_below(parent.get(), name, walk_);
    }
    parent = std::move(folder);
    start = end + 1;
  }
  return parent;
}

void Tree::settle_folder(int parent, const std::string& name, const std::string& path, mode_t mode) {
  // Another file system's server may not let root write into what has no such bit either.
  const bool closed = (mode & (S_IWUSR | S_IXUSR)) != (S_IWUSR | S_IXUSR);
  if (!may_override_ || closed) {
    unsettled_.insert_or_assign(path, mode);
    return;
  }
  // By a descriptor: the name may be another thing's by now.
  const os::UniqueFd folder(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder) throw failure("open folder", path, errno);
  attributes_.set_mode(folder.get(), mode & kPermissions, path);
  if (owner_) attributes_.set_owner(folder.get(), *owner_, path);
}

void Tree::finish() {
  const FileIdentity identity = act();
  // The inner ones first: the outer ones may be closed to this process afterwards.
  for (const auto& [path, mode] : std::views::reverse(unsettled_)) {
    const os::UniqueFd place = open_folder_below(root_.get(), path, walk_);
    const os::UniqueFd fd(place ? ::openat(place.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1);
    if (!fd && errno == ENOENT) continue;  // replaced by a later entry
    if (!fd) throw failure("open folder", path, errno);
    attributes_.set_mode(fd.get(), mode & kPermissions, path);
    if (owner_) attributes_.set_owner(fd.get(), *owner_, path);
  }
  unsettled_.clear();
}

void Tree::clear_place(int folder, const std::string& name, const std::string& path) {
  if (::unlinkat(folder, name.c_str(), 0) == 0 || errno == ENOENT) return;
  const int code = errno;
  if (code == EISDIR || code == EPERM) {
    // Whatever was below it is remembered no longer.
    folder_path_.reset();
    if (::unlinkat(folder, name.c_str(), AT_REMOVEDIR) == 0) return;
    if (errno == ENOTEMPTY || errno == EEXIST || errno == EBUSY) throw failure("replace folder", path, errno);
  }
  throw failure("replace", path, code);
}

Tree::NewFile Tree::make_file(const std::string& path) {
  const FileIdentity identity = act();
  const int folder = folder_for(path, true);
  if (folder < 0) throw failure("create the folder of", path, errno);
  const std::string name(name_of(path));
  const auto create = [&] {
    return os::UniqueFd(::openat(folder, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  };
  os::UniqueFd file = create();
  if (!file && errno == EEXIST) {
    clear_place(folder, name, path);
    file = create();
  }
  if (!file) throw failure("create file", path, errno);
  return {std::move(file), path, *this};
}

void Tree::NewFile::finish(mode_t mode, const timespec* modified) {
  // The owner last: afterwards the rest may be forbidden.
  if (modified != nullptr) {
    const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, *modified};
    ::futimens(fd_.get(), times);  // a time that the file system cannot hold is none that matters
  }
  tree_->attributes_.set_mode(fd_.get(), mode & kPermissions, path_);
  if (tree_->owner_) tree_->attributes_.set_owner(fd_.get(), *tree_->owner_, path_);
  fd_.reset();
}

void Tree::make_folder(const std::string& path, mode_t mode) {
  const FileIdentity identity = act();
  const int folder = folder_for(path, true);
  if (folder < 0) throw failure("create the folder of", path, errno);
  const std::string name(name_of(path));
  if (::mkdirat(folder, name.c_str(), 0700) != 0) {
    if (errno != EEXIST) throw failure("create folder", path, errno);
    struct stat status{};
    if (::fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode)) {
      if (needed_.erase(path) > 0) settle_folder(folder, name, path, mode);
      return;
    }
    clear_place(folder, name, path);
    if (::mkdirat(folder, name.c_str(), 0700) != 0) throw failure("create folder", path, errno);
  }
  settle_folder(folder, name, path, mode);
}

void Tree::make_link(const std::string& path, const std::string& target) {
  const FileIdentity identity = act();
  const int folder = folder_for(path, true);
  if (folder < 0) throw failure("create the folder of", path, errno);
  const std::string name(name_of(path));
  int result = ::symlinkat(target.c_str(), folder, name.c_str());
  if (result != 0 && errno == EEXIST) {
    clear_place(folder, name, path);
    result = ::symlinkat(target.c_str(), folder, name.c_str());
  }
  if (result != 0) {
    if (Attributes::has_no_links(errno)) return attributes_.note_missing_link(path, errno);
    throw failure("create symbolic link", path, errno);
  }
  if (owner_) attributes_.set_owner_at(folder, name.c_str(), *owner_, path);
}

void Tree::make_hard_link(const std::string& path, const std::string& existing) {
  const FileIdentity identity = act();
  if (path == existing) return;
  const os::UniqueFd source = open_folder_below(root_.get(), std::string(folder_of(existing)), walk_);
  if (!source) throw failure("find the target of hard link " + printable(path) + ",", existing, errno);
  const int folder = folder_for(path, true);
  if (folder < 0) throw failure("create the folder of", path, errno);
  const std::string name(name_of(path));
  const std::string source_name(name_of(existing));
  if (::linkat(source.get(), source_name.c_str(), folder, name.c_str(), 0) == 0) return;
  if (errno == EEXIST) {
    clear_place(folder, name, path);
    if (::linkat(source.get(), source_name.c_str(), folder, name.c_str(), 0) == 0) return;
  }
  if (Attributes::has_no_links(errno) || errno == EMLINK) return copy(path, existing);
  throw failure("create hard link " + printable(path) + " to", existing, errno);
}

void Tree::copy(const std::string& path, const std::string& existing) {
  const auto status = look(existing);
  if (!status) throw failure("look at", existing, ENOENT);
  if (S_ISLNK(status->st_mode)) return make_link(path, read_link(existing));
  const os::UniqueFd source = open_file(existing);
  NewFile file = make_file(path);
  std::array<char, 65536> buffer;
  while (true) {
    const ssize_t count = ::read(source.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw failure("read", existing, errno);
    if (count == 0) break;
    os::write_all(file.fd(), {buffer.data(), static_cast<std::size_t>(count)}, printable(path));
  }
  file.finish(status->st_mode, &status->st_mtim);
}

void Tree::give(const std::string& path, const Owner& owner) {
  const int folder = folder_for(path, false);
  if (folder < 0) throw failure("change the owner of", path, errno);
  attributes_.set_owner_at(folder, std::string(name_of(path)).c_str(), owner, path);
}

std::optional<struct stat> Tree::look(const std::string& path) {
  const FileIdentity identity = act();
  const int folder = folder_for(path, false);
  struct stat status{};
  if (folder >= 0 && ::fstatat(folder, std::string(name_of(path)).c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
    return status;
  }
  if (errno == ENOENT) return std::nullopt;
  const Error error = failure("look at", path, errno);
  // A file where a folder is to be: nothing is below it. A link is another matter.
  if (errno == ENOTDIR && error.kind() != ErrorKind::invalid) return std::nullopt;
  throw error;
}

os::UniqueFd Tree::open_file(const std::string& path) {
  const FileIdentity identity = act();
  const int folder = folder_for(path, false);
  if (folder < 0) throw failure("open", path, errno);
  // Not waiting: it may be a pipe that nobody writes to.
  os::UniqueFd file(
      ::openat(folder, std::string(name_of(path)).c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file) throw failure("open", path, errno);
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) throw failure("look at", path, errno);
  if (!S_ISREG(status.st_mode))
    throw Error(ErrorKind::invalid, std::format("{} is not a regular file", printable(path)));
  return file;
}

std::string Tree::read_link(const std::string& path) {
  const FileIdentity identity = act();
  const int folder = folder_for(path, false);
  if (folder < 0) throw failure("read symbolic link", path, errno);
  std::string target(PATH_MAX, '\0');
  const ssize_t size = ::readlinkat(folder, std::string(name_of(path)).c_str(), target.data(), target.size());
  if (size < 0) throw failure("read symbolic link", path, errno);
  target.resize(static_cast<std::size_t>(size));
  return target;
}

void Tree::remove_file(const std::string& path) {
  const FileIdentity identity = act();
  const int folder = folder_for(path, false);
  if (folder < 0) throw failure("remove", path, errno);
  if (::unlinkat(folder, std::string(name_of(path)).c_str(), 0) != 0) throw failure("remove", path, errno);
  std::string above(folder_of(path));
  while (!above.empty() && remove_empty_folder(above)) above = folder_of(above);
}

void Tree::remove_tree(const std::string& path) {
  const FileIdentity identity = act();
  const int folder = folder_for(path, false);
  if (folder < 0 && errno == ENOENT) return;
  if (folder < 0) throw failure("remove", path, errno);
  os::remove_tree(folder, folder_of(path), std::string(name_of(path)));
  folder_path_.reset();
}

bool Tree::remove_empty_folder(const std::string& path) {
  const FileIdentity identity = act();
  folder_path_.reset();
  const int folder = folder_for(path, false);
  return folder >= 0 && ::unlinkat(folder, std::string(name_of(path)).c_str(), AT_REMOVEDIR) == 0;
}

}  // namespace dstack::files
