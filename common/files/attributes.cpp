#include "common/files/attributes.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/error.h"

namespace dstack::files {

void Attributes::set_owner(int fd, const Owner& owner, std::string_view path) {
  if (::fchown(fd, owner.uid, owner.gid) != 0) warn(warned_of_owner_, "change the owner of", path, errno);
}

void Attributes::set_mode(int fd, mode_t mode, std::string_view path) {
  if (::fchmod(fd, mode) != 0) warn(warned_of_mode_, "set the mode of", path, errno);
}

void Attributes::set_owner_at(int folder, const char* name, const Owner& owner, std::string_view path) {
  if (::fchownat(folder, name, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    warn(warned_of_owner_, "change the owner of", path, errno);
  }
}

void Attributes::note_missing_link(std::string_view path, int code) {
  warn(warned_of_link_, "create symbolic link", path, code);
}

bool Attributes::has_no_links(int code) { return code == EPERM || code == EOPNOTSUPP || code == ENOSYS; }

void Attributes::warn(bool& warned, std::string_view what, std::string_view path, int code) {
  if (std::exchange(warned, true)) return;
  spdlog::warn("{}. Ignored, here and for other files with the same error",
               os_error(what, printable(path), code).what());
}

}  // namespace dstack::files
