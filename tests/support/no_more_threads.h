#pragma once

#include <sys/resource.h>
#include <unistd.h>

#include <latch>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "common/os/file.h"

namespace dstack::test {

// As long as this lives, no thread can be made: there is no room for another stack. (A limit on processes does not hold
// for root.) Not for builds with a sanitizer, which need room of their own.
class NoMoreThreads {
 public:
  NoMoreThreads() {
    ::getrlimit(RLIMIT_AS, &before_);
    const std::string pages = os::read_file("/proc/self/statm");
    // What the test itself allocates has to fit.
    constexpr rlim_t room = 4 << 20;
    rlimit limit = before_;
    limit.rlim_cur = std::stoull(pages) * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + room;
    ::setrlimit(RLIMIT_AS, &limit);
    // The C library keeps stacks of threads that have ended.
    try {
      while (true) kept_.emplace_back([this] { release_.wait(); });
    } catch (const std::system_error&) {
    }
  }
  NoMoreThreads(const NoMoreThreads&) = delete;
  NoMoreThreads& operator=(const NoMoreThreads&) = delete;
  ~NoMoreThreads() {
    ::setrlimit(RLIMIT_AS, &before_);
    release_.count_down();
  }

  static constexpr bool possible() {
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
    return false;
#endif
#endif
    return true;
  }

 private:
  rlimit before_{};
  std::latch release_{1};
  std::vector<std::jthread> kept_;
};

}  // namespace dstack::test
