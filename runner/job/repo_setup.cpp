#include "runner/job/repo_setup.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <format>
#include <system_error>

#include "common/error.h"
#include "common/files/archive.h"
#include "common/files/attributes.h"
#include "common/os/file.h"
#include "runner/job/capabilities.h"
#include "runner/job/paths.h"
#include "runner/repo/clone.h"

namespace dstack::runner::job {

namespace {

// An ext4 volume that nobody has written to has this in it.
constexpr std::string_view kEmptyVolumeEntry = "lost+found";

bool has_content(const std::filesystem::path& folder) {
  struct stat status{};
  if (::stat(folder.c_str(), &status) != 0) {
    if (errno == ENOENT) return false;
    throw os_error("look at", folder.string());
  }
  if (!S_ISDIR(status.st_mode)) throw os_error("use as the repo's folder", folder.string(), ENOTDIR);
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().filename() != kEmptyVolumeEntry) return true;
  }
  if (error) throw os_error("list", folder.string(), error.value());
  return false;
}

// Throws for a folder with content if that is what was asked for; false if it is to be left alone.
bool may_fill(const std::filesystem::path& folder, const JobUser& user, const std::string& action) {
  const WriteAccess access(folder, user);
  if (!has_content(folder)) return true;
  if (action == "error") throw Error(ErrorKind::conflict, std::format("repo dir is not empty: {}", folder.string()));
  if (!action.empty() && action != "skip") {
    throw Error(ErrorKind::invalid, std::format("{} is not a known repo_exists_action", printable(action)));
  }
  spdlog::info("The repo's folder {} is not empty: it is left as it is", folder.string());
  return false;
}

// The folder itself may have been there, a volume say.
void make_repo_folder(const std::filesystem::path& folder, const JobUser& user) {
  make_folders_for(folder, user, 0755);
  if (const auto owner = owner_for(user)) {
    files::Attributes().set_owner(os::open_file(folder, O_RDONLY | O_DIRECTORY).get(), *owner, folder.native());
  }
}

void clone_remote(const Submission& submission, const Prepared& prepared, const std::filesystem::path& folder,
                  const std::function<bool()>& stopped, os::Clock& clock) {
  const auto& credentials = submission.repo_credentials;
  if (!credentials) throw Error(ErrorKind::invalid, "repo_credentials are missing: they say where to clone from");
  const RepoData& data = submission.repo_data;
  // The user's files, and so what is made must be the user's; who cannot be given files is root.
  const auto owner = can_change_user() ? owner_for(prepared.user) : std::nullopt;
  repo::clone({.url = credentials->clone_url,
               .branch = data.branch,
               .hash = data.hash,
               .single_branch = submission.single_branch,
               .token = credentials->oauth_token,
               .private_key = credentials->private_key,
               .user_name = data.config_name,
               .user_email = data.config_email},
              folder, owner, stopped, clock);
}

}  // namespace

Repo set_up_repo(const Submission& submission, const Prepared& prepared, const files::Uploads& uploads,
                 const std::function<bool()>& stopped, os::Clock& clock) {
  if (!submission.repo_dir) throw Error(ErrorKind::invalid, "repo_dir is not set");
  Repo repo{.folder = expand_path(*submission.repo_dir, prepared.working_dir, prepared.user.home)};
  if (!may_fill(repo.folder, prepared.user, submission.repo_exists_action)) return repo;

  const std::string& type = submission.repo_data.type;
  const auto code = uploads.code();
  if (type == "remote") {
    make_repo_folder(repo.folder, prepared.user);
    clone_remote(submission, prepared, repo.folder, stopped, clock);
    if (code) repo::apply_to_clone(*code, repo.folder, owner_for(prepared.user));
    repo.set_up = true;
    return repo;
  }
  if (type != "local" && type != "virtual") {
    throw Error(ErrorKind::invalid, std::format("{} is not a known repo type", printable(type)));
  }
  if (!code) return repo;
  make_repo_folder(repo.folder, prepared.user);
  files::Tree tree(repo.folder, owner_for(prepared.user));
  files::unpack(*code, tree, {.layout = files::Layout::as_named, .place = "", .stopped = stopped});
  repo.set_up = true;
  return repo;
}

}  // namespace dstack::runner::job
