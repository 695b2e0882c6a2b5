#pragma once

#include <sys/types.h>

#include <filesystem>
#include <vector>

namespace dstack::os {

struct ProcessEntry {
  pid_t pid = 0;
  pid_t parent = 0;
  pid_t group = 0;
  pid_t session = 0;
  char state = '?';  // as in /proc/PID/stat: 'R', 'S', 'T', 'Z' …

  bool alive() const { return state != 'Z' && state != 'X'; }
};

// Every process that can be seen now, zombies too. One that starts or ends meanwhile may be there or not. Empty where
// /proc is not mounted.
std::vector<ProcessEntry> list_processes(const std::filesystem::path& proc = "/proc");

}  // namespace dstack::os
