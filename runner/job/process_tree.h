#pragma once

#include <sys/types.h>

#include <vector>

#include "common/os/process_tree.h"

namespace dstack::runner::job {

using os::find_descendants;
using os::ProcessEntry;

// Every process below this one as the tree is now, zombies too, but for the runner's own children (the SSH server and
// what people do there, tools that are asked something, also those that cannot be killed). `job` is its only child that
// counts as the job's.
std::vector<ProcessEntry> find_job_processes(pid_t job);

}  // namespace dstack::runner::job
