#pragma once

#include <ftxui/dom/elements.hpp>
#include <string>
#include <vector>

#include "shim/top/history.h"
#include "shim/top/report.h"
#include "shim/top/snapshot.h"

namespace dstack::shim::top {

struct Terminal {
  std::size_t width = 80;
  std::size_t height = 24;
  bool colours = true;
  bool utf8 = true;
};

// What a person has chosen to see.
struct ViewState {
  Order order = Order::age;
  std::size_t selected = 0;  // of the sorted tasks
  std::string question;      // that waits for y or n; empty: none
  std::string notice;        // the last line about a stop
  bool shows_log = false;    // of the selected task
  std::string log_title;
  std::vector<std::string> log;  // its last lines
};

struct Trends {
  static constexpr std::size_t kSamples = 150;  // five minutes at two seconds each
  History cpu{kSamples};
  History memory{kSamples};
  History gpu{kSamples};

  void add(const Snapshot& snapshot);
};

// The whole screen. What does not fit is left out: columns first, then rows.
ftxui::Element view(const Snapshot& snapshot, const Trends& trends, const ViewState& state, const Terminal& terminal);

}  // namespace dstack::shim::top
