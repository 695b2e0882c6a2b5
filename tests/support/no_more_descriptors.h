#pragma once

#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>
#include <vector>

#include "common/os/unique_fd.h"

namespace dstack::test {

// As long as this lives, the process can open `left` more descriptors and then gets EMFILE.
class NoMoreDescriptors {
 public:
  explicit NoMoreDescriptors(std::size_t left = 0) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit lower = before_;
    // So that few are enough to take all.
    lower.rlim_cur = std::min<rlim_t>(before_.rlim_cur, 256);
    ::setrlimit(RLIMIT_NOFILE, &lower);
    while (true) {
      os::UniqueFd next(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      if (!next) break;
      taken_.push_back(std::move(next));
    }
    taken_.resize(taken_.size() - std::min(left, taken_.size()));
  }
  NoMoreDescriptors(const NoMoreDescriptors&) = delete;
  NoMoreDescriptors& operator=(const NoMoreDescriptors&) = delete;
  ~NoMoreDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
  std::vector<os::UniqueFd> taken_;
};

}  // namespace dstack::test
