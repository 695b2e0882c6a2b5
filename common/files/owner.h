#pragma once

#include <sys/types.h>

namespace dstack::files {

// Whom files are given to.
struct Owner {
  uid_t uid = 0;
  gid_t gid = 0;
};

}  // namespace dstack::files
