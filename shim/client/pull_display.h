#pragma once

#include <cstddef>
#include <iosfwd>
#include <optional>
#include <string>

#include "common/os/clock.h"
#include "shim/client/shim_api.h"
#include "shim/client/transfer_rate.h"

namespace dstack::shim::client {

// Shows how far a task has come until its container runs. A pull is one bar on a terminal, with bytes, speed and time
// left, and a line every 5 s at most elsewhere.
class PullDisplay {
 public:
  // On stderr, as that is.
  PullDisplay();
  // `width` is the terminal's; nothing where there is none. Both references outlive this object.
  PullDisplay(std::ostream& out, std::optional<std::size_t> width, os::Clock& clock);

  void show(const TaskEntry& task);
  // Ends the bar's line.
  void finish();

 private:
  // What is worked on, bytes that are done and all of them.
  struct Phase {
    const char* name;
    std::int64_t done;
    std::int64_t total;
    bool total_is_final;
  };
  static Phase phase_of(const PullView& pull);

  std::string figures(const Phase& phase) const;
  void show_bar(const Phase& phase);
  void show_line(const Phase& phase);

  std::ostream& out_;
  const std::optional<std::size_t> width_;
  os::Clock& clock_;
  TransferRate rate_;
  const char* last_phase_ = nullptr;
  bool bar_open_ = false;
  std::string last_status_;
  std::optional<os::SteadyTime> next_line_;
};

}  // namespace dstack::shim::client
