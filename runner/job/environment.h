#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runner/job/submission.h"

namespace dstack::runner::job {

using Environment = std::map<std::string, std::string>;

// The variables this process was started with.
Environment own_environment();

// Where the job's things are, as its variables tell it.
struct JobPlaces {
  std::filesystem::path working_dir;
  std::filesystem::path repo_dir;
  std::filesystem::path mpi_hostfile;
};

// What the job sees but for HOME, which a login sets for itself: the container's variables, then DSTACK_*, the
// secrets, the job's own; the later wins. Functions that some shell exported are dropped: they would show up in the
// commands' shells only. Throws Error for a value that no process can be given (a NUL byte in it).
Environment make_environment(Environment container, const Submission& submission, const JobPlaces& places);

// NAME=value for execve.
std::vector<std::string> render(const Environment& environment);

// Whether `export NAME=value` is a command a shell accepts.
bool is_shell_name(std::string_view name);

}  // namespace dstack::runner::job
