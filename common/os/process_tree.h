#pragma once

#include <sys/types.h>

#include <vector>

#include "common/os/process_list.h"

namespace dstack::os {

// Of `processes` every one below `root`, `root` itself not. Left out: the processes and process groups that `except`
// names, and everything below them.
std::vector<ProcessEntry> find_descendants(pid_t root, const std::vector<ProcessEntry>& processes,
                                           const std::vector<pid_t>& except = {});

}  // namespace dstack::os
