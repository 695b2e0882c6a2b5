#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>

#include "common/os/clock.h"
#include "common/os/event.h"
#include "common/os/unique_fd.h"

namespace dstack::runner::job {

// Reads a terminal on a thread of its own, in pieces of up to 64 KiB, and hands them on; nothing else is on that path.
// What comes after a pause is read at once. Of many small writes one after the other, some are left to gather first:
// the job would otherwise be interrupted for each of them.
class TerminalReader {
 public:
  // `take` is called on the reader's thread and must not throw. `output` does not block and outlives this object.
  // Nothing is read before begin(). Throws Error (exhausted).
  TerminalReader(int output, std::function<void(std::string_view)> take, os::Clock& clock = os::system_clock());
  TerminalReader(const TerminalReader&) = delete;
  TerminalReader& operator=(const TerminalReader&) = delete;
  ~TerminalReader() { finish(); }

  void begin() { begin_.set(); }

  // Returns when all that was written before this call has been handed on. Call it when the writers are gone: one
  // that goes on writing is cut off after a mebibyte.
  void finish();

 private:
  void read();
  // How much there was; nothing at the terminal's end.
  std::optional<std::size_t> read_available(std::size_t limit);
  void hand_on(std::string_view output) noexcept;
  // Until more has gathered, or finish().
  void let_gather(os::SteadyTime now);

  const int output_;
  const std::function<void(std::string_view)> take_;
  os::Clock& clock_;
  const std::unique_ptr<os::Timer> timer_;
  os::Event begin_;
  os::Event finish_;  // readable from finish() on
  std::thread thread_;
};

}  // namespace dstack::runner::job
