#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

// The same clock in every process of the machine, containers' too.
inline std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

[[noreturn]] inline void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}
