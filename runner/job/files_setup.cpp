#include "runner/job/files_setup.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <format>
#include <vector>

#include "common/error.h"
#include "runner/files/placement.h"
#include "runner/job/paths.h"

namespace dstack::runner::job {

namespace {

// Where an archive for `path` goes. A folder whose content came from outside, the repo or an earlier archive, may
// have links in it that are not to be followed on the way.
files::Destination find_destination(const std::filesystem::path& path,
                                    const std::vector<std::filesystem::path>& foreign, const JobUser& user) {
  if (!path.has_relative_path()) return {.folder = path, .below = ""};
  for (const std::filesystem::path& folder : foreign) {
    if (path != folder && files::is_within(path, folder)) {
      return {.folder = folder, .below = path.lexically_relative(folder), .foreign = true};
    }
  }
  make_folders_for(path.parent_path(), user, 0755);
  return {.folder = path.parent_path(), .below = path.filename()};
}

}  // namespace

void set_up_files(const Submission& submission, const Prepared& prepared, const Repo& repo,
                  const files::Uploads& uploads, const std::function<bool()>& stopped) {
  // Where the container has no mount for it, the runner's own folder must not go with /tmp.
  std::vector<std::filesystem::path> kept = {prepared.working_dir, repo.folder, uploads.folder()};
  if (prepared.user.has_home()) kept.push_back(prepared.user.home);
  std::vector<std::filesystem::path> foreign;
  if (repo.set_up) foreign.push_back(repo.folder);

  for (const FileArchive& file : submission.file_archives) {
    try {
      const auto archive = uploads.archive(file.id);
      if (!archive) {
        throw Error(ErrorKind::not_found, std::format("the archive {} was not uploaded", printable(file.id)));
      }
      const std::filesystem::path path = expand_path(file.path, prepared.working_dir, prepared.user.home);
      spdlog::info("Writing files to {}", printable(path.native()));
      files::place_archive(*archive, find_destination(path, foreign, prepared.user), kept, owner_for(prepared.user),
                           stopped);
      // The merged ones hold what was there before, which is trusted.
      if (!files::must_stay(path, kept)) foreign.push_back(path);
    } catch (const std::exception& error) {
      throw Error(error_kind(error), std::format("{}: {}", printable(file.path), error.what()));
    }
  }
}

}  // namespace dstack::runner::job
