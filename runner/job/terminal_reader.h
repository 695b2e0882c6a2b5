#pragma once

#include <functional>
#include <string_view>
#include <thread>

#include "common/os/event.h"
#include "common/os/unique_fd.h"

namespace dstack::runner::job {

// Reads a terminal on a thread of its own, in pieces of up to 64 KiB, and hands them on; nothing else is on that path.
class TerminalReader {
 public:
  // `take` is called on the reader's thread and must not throw. `output` does not block and outlives this object.
  // Nothing is read before begin(). Throws Error (exhausted).
  TerminalReader(int output, std::function<void(std::string_view)> take);
  TerminalReader(const TerminalReader&) = delete;
  TerminalReader& operator=(const TerminalReader&) = delete;
  ~TerminalReader() { finish(); }

  void begin() { begin_.set(); }

  // Returns when all that was written before this call has been handed on. Call it when the writers are gone: one
  // that goes on writing is cut off after a mebibyte.
  void finish();

 private:
  void read();
  // False at the terminal's end.
  bool read_available(std::size_t limit);

  const int output_;
  const std::function<void(std::string_view)> take_;
  os::Event begin_;
  os::Event finish_;  // readable from finish() on
  std::thread thread_;
};

}  // namespace dstack::runner::job
