#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "shim/doctor/check.h"

namespace dstack::shim::doctor {

struct Result {
  std::string check;
  Finding finding;
};

struct Examination {
  std::vector<Result> results;  // in the order of the checks
  // Whether a check still hangs, on a thread that nobody waits for: the process should then leave without clean-up.
  bool unfinished = false;

  bool is_broken() const;
};

// Makes all checks at the same time, each on a thread of its own. One that is not done within the limit is broken for
// that reason: a disk or a driver that hangs must not hang whoever asks about it. Those that run a program give it a
// minute at most, and say what became of it.
Examination examine(const std::vector<Check>& checks, const Host& host,
                    std::chrono::nanoseconds limit = std::chrono::seconds{75});

}  // namespace dstack::shim::doctor
