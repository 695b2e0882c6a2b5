#include "common/os/core_files.h"

#include <sys/resource.h>

#include <algorithm>

namespace dstack::os {

namespace {

// The kernel takes a limit of 1 byte as "none", also where core files go to a program (a core_pattern with a pipe). A
// limit of 0 does not stop the latter.
constexpr rlim_t kNoCoreFile = 1;

// The limit is the whole process's, and so is the one that it had before. Written once, before there are threads.
rlim_t limit_at_start = 0;
bool forbidden = false;

}  // namespace

void forbid_core_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_CORE, &limit) != 0) return;
  limit_at_start = limit.rlim_cur;
  limit.rlim_cur = std::min(kNoCoreFile, limit.rlim_max);
  forbidden = ::setrlimit(RLIMIT_CORE, &limit) == 0;
}

void restore_core_file_limit() {
  rlimit limit{};
  if (!forbidden || ::getrlimit(RLIMIT_CORE, &limit) != 0) return;
  limit.rlim_cur = limit_at_start;
  ::setrlimit(RLIMIT_CORE, &limit);
}

}  // namespace dstack::os
