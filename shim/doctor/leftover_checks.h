#pragma once

#include <set>

#include "common/os/mounts.h"
#include "shim/docker/engine_types.h"
#include "shim/doctor/check.h"

namespace dstack::shim::doctor {

// Containers of tasks that the shim of this home does not know.
Finding check_containers(const Host& host);

// Volumes that are mounted, and no task holds them.
Finding check_volumes(const Host& host);

// Folders that containers of tasks saw, without a task.
Finding check_folders(const Host& host);

// What the journals in a home say. They are read as they are: a shim may write them meanwhile, each as one step.
struct Journals {
  std::set<std::string> container_names;
  std::set<std::string> volumes;  // of tasks that have not given theirs back
  int unreadable = 0;
};
// Throws Error if the folder is there and cannot be read.
Journals read_journals(const std::filesystem::path& home);

Finding judge_containers(const std::vector<docker::ContainerSummary>& containers, const Journals& journals,
                         const std::filesystem::path& home);
// `folders`: the names in <home>/runners.
Finding judge_folders(const std::vector<std::string>& folders, const Journals& journals);
Finding judge_volumes(const std::vector<os::Mount>& mounts, const Journals& journals);

}  // namespace dstack::shim::doctor
