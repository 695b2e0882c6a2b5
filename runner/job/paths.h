#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string_view>

#include "common/files/file_identity.h"
#include "common/files/owner.h"
#include "common/os/unique_fd.h"
#include "runner/job/job_user.h"

namespace dstack::runner::job {

// Whom the user's files are given to; nothing where the runner may not give files away.
std::optional<files::Owner> owner_for(const JobUser& user);

// `path` with a leading "~" or "~/" replaced by `home`, and taken as relative to `base` if it is not absolute then.
// Nothing else in it is special. Throws Error for "~other".
std::filesystem::path expand_path(std::string_view path, const std::filesystem::path& base,
                                  const std::filesystem::path& home);

// While it lives, this thread may write into `folder`, or where that is missing into the next one above it, also where
// the container lacks DAC_OVERRIDE and the folder is the user's: it does so as the user then.
class WriteAccess {
 public:
  WriteAccess(std::filesystem::path folder, const JobUser& user);

 private:
  std::optional<files::FileIdentity> identity_;
};

// Gives the open file or folder this mode and, where the runner may give files away, to the user. A file system that
// refuses either is a warning.
void give_to(const os::UniqueFd& file, const JobUser& user, mode_t mode, const std::filesystem::path& path);

// mkdir -p; the folders that are made get `mode` and, where the runner may give files away, belong to the user.
// Throws Error.
void make_folders_for(const std::filesystem::path& path, const JobUser& user, mode_t mode);

// A file for the user's eyes: made or replaced by one with this content and mode, which belongs to the user from
// before there is anything in it. Throws Error.
void write_file_for(const std::filesystem::path& path, std::string_view content, const JobUser& user, mode_t mode);

}  // namespace dstack::runner::job
