#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "shim/client/shim_api.h"

namespace dstack::shim::client {

// What a job wrote, on its way through a terminal: "\n" comes out of it as "\r\n". This makes it what it was, across
// pieces.
class TerminalOutput {
 public:
  // What is known of the job's own bytes by now.
  std::string take(std::string_view piece);
  // The rest, at the end.
  std::string finish();

 private:
  bool carriage_return_ = false;  // seen, and not yet known if a line end follows
};

// One task's output on its way to stdout, or to another descriptor, byte for byte as its job wrote it. Members throw
// Error as ShimApi's.
class JobOutput {
 public:
  // `shim` outlives this object.
  // What a job writes to its terminal, or what the image's own program writes.
  enum class Bytes { of_a_terminal, as_they_are };
  JobOutput(ShimApi& shim, std::string task, Bytes bytes = Bytes::of_a_terminal, int fd = 1)
      : shim_(shim), task_(std::move(task)), bytes_(bytes), fd_(fd) {}

  enum class Printed { piece, nothing, unread };
  // The next piece of what is there; nothing once all is printed, unread when stdout is closed.
  Printed print_piece();
  // All that is there; false when stdout is closed.
  bool print_all();
  // From here on; before anything was printed.
  void begin_at(std::uint64_t position) { position_ = position; }
  // Leaves out what is there but for its last lines.
  void skip_to_last_lines(std::size_t count);
  // Puts this before each line: what it returns for the place where the line begins.
  void put_before_lines(std::function<std::string(std::uint64_t position)> prefix) { prefix_ = std::move(prefix); }
  // Leaves out all that is there.
  void skip_all();
  // The job's last byte was printed.
  void finish();

  // Whether a job has begun to write, or could have.
  bool begun() const { return begun_; }

 private:
  ShimApi& shim_;
  const std::string task_;
  const Bytes bytes_;
  const int fd_;
  std::string converted(std::string_view piece);

  std::uint64_t position_ = 0;
  std::function<std::string(std::uint64_t)> prefix_;
  bool line_begins_ = true;
  TerminalOutput terminal_;
  bool begun_ = false;
};

}  // namespace dstack::shim::client
