#pragma once

#include <sys/types.h>

#include <string_view>

#include "common/files/owner.h"

namespace dstack::files {

// Sets what a job can do without: a file system may keep no owners or modes (squashed NFS, FAT, some FUSE and shared
// folders) and have no links. Nothing here throws: the first refusal of each kind is a warning in the log.
// For one thread.
class Attributes {
 public:
  // `path` is for the log.
  void set_owner(int fd, const Owner& owner, std::string_view path);
  void set_mode(int fd, mode_t mode, std::string_view path);
  // Of the entry `name` of `folder` itself, should it be a link.
  void set_owner_at(int folder, const char* name, const Owner& owner, std::string_view path);
  // A symbolic link was left out for the reason `code`.
  void note_missing_link(std::string_view path, int code);

  // Whether `code` is how a file system says that it has no links.
  static bool has_no_links(int code);

 private:
  void warn(bool& warned, std::string_view what, std::string_view path, int code);

  bool warned_of_owner_ = false;
  bool warned_of_mode_ = false;
  bool warned_of_link_ = false;
};

}  // namespace dstack::files
