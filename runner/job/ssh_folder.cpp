#include "runner/job/ssh_folder.h"

#include <fcntl.h>

#include "common/os/file.h"
#include "runner/job/paths.h"

namespace dstack::runner::job {

std::filesystem::path prepare_ssh_folder(const JobUser& user) {
  std::filesystem::path folder = user.home / ".ssh";
  make_folders_for(user.home, user, 0755);
  make_folders_for(folder, user, 0700);
  // An earlier job on the same volume may have made a link of it, to a folder that is not the user's to change.
  const WriteAccess access(user.home, user);
  give_to(os::open_file(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW), user, 0700, folder);
  return folder;
}

}  // namespace dstack::runner::job
