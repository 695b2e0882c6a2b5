#include "runner/job/process_tree.h"

#include <unistd.h>

#include <algorithm>

#include "common/os/child_thread.h"

namespace dstack::runner::job {

std::vector<ProcessEntry> find_job_processes(pid_t job) {
  std::vector<pid_t> own = os::started_children();
  const std::vector<ProcessEntry> processes = os::list_processes();
  // And those that were started while the list was made.
  for (const pid_t child : os::started_children()) own.push_back(child);
  std::erase(own, job);
  return find_descendants(::getpid(), processes, own);
}

}  // namespace dstack::runner::job
