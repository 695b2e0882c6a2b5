#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "shim/client/shim_api.h"

namespace dstack::shim::client {

// Shows on stderr how far a task has come until its container runs: a bar on a terminal, lines elsewhere.
class PullDisplay {
 public:
  PullDisplay();

  void show(const TaskEntry& task);
  // Ends the bar's line.
  void finish();

 private:
  void show_bar(const PullView& pull);
  void show_line(const PullView& pull);

  std::optional<std::size_t> width_;  // nothing where there is no terminal
  bool bar_open_ = false;
  std::string last_status_;
  std::int64_t last_tenth_ = -1;
};

}  // namespace dstack::shim::client
