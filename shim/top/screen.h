#pragma once

#include <chrono>

#include "shim/top/collector.h"

namespace dstack::shim::top {

struct ScreenSettings {
  int shim_port = 10998;
  std::chrono::seconds interval{2};
  bool colours = true;
  bool utf8 = true;
};

// Shows what the collector finds until the person quits, and puts the terminal back. Returns the exit code. It uses the
// collector from a thread of its own meanwhile.
int run_screen(Collector& collector, const ScreenSettings& settings);

}  // namespace dstack::shim::top
