#pragma once

#include <functional>

#include "common/os/clock.h"

namespace dstack::runner::job {

// Starts what needs a thread or a process of its own, and again every second while none can be made (Error, exhausted):
// what has used them up may end. False once `stop` is readable. Throws Error: the last one after five minutes, any
// other at once.
bool start_when_possible(const std::function<void()>& start, int stop, os::Clock& clock);

}  // namespace dstack::runner::job
