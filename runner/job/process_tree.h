#pragma once

#include <sys/types.h>

#include <filesystem>
#include <vector>

namespace dstack::runner::job {

struct ProcessEntry {
  pid_t pid = 0;
  pid_t parent = 0;
  pid_t session = 0;
  char state = '?';  // as in /proc/PID/stat: 'R', 'S', 'T', 'Z' …

  bool alive() const { return state != 'Z' && state != 'X'; }
};

// Every process below `root` in the tree as it is now, zombies too, `root` itself not. `except` and what is below it is
// left out. A process that starts or ends meanwhile may be there or not. Empty where /proc is not mounted.
std::vector<ProcessEntry> find_descendants(pid_t root, const std::vector<pid_t>& except,
                                           const std::filesystem::path& proc = "/proc");

}  // namespace dstack::runner::job
