#include "runner/job/ssh_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include "common/error.h"
#include "runner/job/capabilities.h"
#include "runner/job/paths.h"

namespace dstack::runner::job {

std::filesystem::path prepare_ssh_folder(const JobUser& user) {
  std::filesystem::path folder = user.home / ".ssh";
  make_folders_for(user.home, user, 0755);
  make_folders_for(folder, user, 0700);
  if (can_give_away_files() && ::chown(folder.c_str(), user.uid, user.gid) != 0) {
    throw os_error("change the owner of", folder.string());
  }
  if (::chmod(folder.c_str(), 0700) != 0) throw os_error("set the mode of", folder.string());
  return folder;
}

}  // namespace dstack::runner::job
