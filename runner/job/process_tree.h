#pragma once

#include <sys/types.h>

#include <vector>

#include "common/os/process_list.h"

namespace dstack::runner::job {

using os::ProcessEntry;

// Of `processes` every one below `root`, `root` itself not. Left out: the processes and process groups that `except`
// names, and everything below them.
std::vector<ProcessEntry> find_descendants(pid_t root, const std::vector<ProcessEntry>& processes,
                                           const std::vector<pid_t>& except);

// Every process below this one as the tree is now, zombies too, but for the runner's own children (the SSH server and
// what people do there, tools that are asked something, also those that cannot be killed). `job` is its only child that
// counts as the job's.
std::vector<ProcessEntry> find_job_processes(pid_t job);

}  // namespace dstack::runner::job
