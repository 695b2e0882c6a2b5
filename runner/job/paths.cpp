#include "runner/job/paths.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <format>

#include "common/error.h"
#include "common/files/attributes.h"
#include "common/os/capabilities.h"
#include "common/os/file.h"
#include "runner/job/capabilities.h"

namespace dstack::runner::job {

namespace {

// Without "." and "..", and without a slash at its end.
std::filesystem::path tidy(const std::filesystem::path& path) {
  const std::filesystem::path result = path.lexically_normal();
  return result.has_filename() || !result.has_relative_path() ? result : result.parent_path();
}

}  // namespace

std::optional<files::Owner> owner_for(const JobUser& user) {
  if (!can_give_away_files()) return std::nullopt;
  return files::Owner{.uid = user.uid, .gid = user.gid};
}

std::filesystem::path expand_path(std::string_view path, const std::filesystem::path& base,
                                  const std::filesystem::path& home) {
  if (path.starts_with('~')) {
    path.remove_prefix(1);
    if (!path.empty() && path[0] != '/') {
      throw Error(ErrorKind::invalid, std::format("~{}: another user's home folder is not looked up", path));
    }
    path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
    return tidy(home / path);
  }
  return tidy(base / path);
}

WriteAccess::WriteAccess(std::filesystem::path folder, const JobUser& user) {
  if (os::has_capability(os::Capability::dac_override) || !can_change_user()) return;
  // The first that is there is the one that is written into.
  while (folder.has_relative_path() && ::access(folder.c_str(), F_OK) != 0 && errno == ENOENT) {
    folder = folder.parent_path();
  }
  if (::faccessat(AT_FDCWD, folder.c_str(), W_OK | X_OK, AT_EACCESS) != 0) identity_.emplace(owner_for(user));
}

void give_to(const os::UniqueFd& file, const JobUser& user, mode_t mode, const std::filesystem::path& path) {
  files::Attributes attributes;
  attributes.set_mode(file.get(), mode, path.native());
  if (const auto owner = owner_for(user)) attributes.set_owner(file.get(), *owner, path.native());
}

void make_folders_for(const std::filesystem::path& path, const JobUser& user, mode_t mode) {
  struct stat status{};
  if (path.empty()) return;
  const WriteAccess access(path, user);
  if (::stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return;
    throw os_error("create folder", path.string(), ENOTDIR);
  }
  // Other failures than "not there" show when the parent is looked at or the folder made.
  make_folders_for(path.parent_path(), user, mode);
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) throw os_error("create folder", path.string());
  // By a descriptor: the name may be a link that was put there meanwhile.
  give_to(os::open_file(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW), user, mode, path);
}

void write_file_for(const std::filesystem::path& path, std::string_view content, const JobUser& user, mode_t mode) {
  const WriteAccess access(path.parent_path(), user);
  // Whatever has that name, a link to another user's file too, is replaced and not written into.
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw os_error("replace", path.string());
  const os::UniqueFd file = os::open_file(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  give_to(file, user, mode, path);
  os::write_all(file.get(), content, path.string());
}

}  // namespace dstack::runner::job
