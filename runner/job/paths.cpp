#include "runner/job/paths.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <format>

#include "common/error.h"
#include "common/os/file.h"
#include "runner/job/capabilities.h"

namespace dstack::runner::job {

namespace {

// Without "." and "..", and without a slash at its end.
std::filesystem::path tidy(const std::filesystem::path& path) {
  std::filesystem::path result = path.lexically_normal();
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

void make_folders_for(const std::filesystem::path& path, const JobUser& user, mode_t mode) {
  struct stat status{};
  if (path.empty()) return;
  if (::stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return;
    throw os_error("create folder", path.string(), ENOTDIR);
  }
  // Other failures than "not there" show when the parent is looked at or the folder made.
  make_folders_for(path.parent_path(), user, mode);
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) throw os_error("create folder", path.string());
  // The folder is new and its parent not the user's to change but for folders made here, so no link is followed.
  if (can_give_away_files() && ::lchown(path.c_str(), user.uid, user.gid) != 0) {
    throw os_error("change the owner of", path.string());
  }
  if (::chmod(path.c_str(), mode) != 0) throw os_error("set the mode of", path.string());
}

void write_file_for(const std::filesystem::path& path, std::string_view content, const JobUser& user, mode_t mode) {
  // Whatever has that name, a link to somebody else's file too, is replaced and not written into.
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw os_error("replace", path.string());
  const os::UniqueFd file = os::open_file(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  if (can_give_away_files() && ::fchown(file.get(), user.uid, user.gid) != 0) {
    throw os_error("change the owner of", path.string());
  }
  if (::fchmod(file.get(), mode) != 0) throw os_error("set the mode of", path.string());
  os::write_all(file.get(), content, path.string());
}

}  // namespace dstack::runner::job
