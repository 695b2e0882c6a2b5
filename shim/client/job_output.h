#pragma once

#include <cstdint>
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

// One task's output on its way to stdout, byte for byte as its job wrote it. Members throw Error as ShimApi's.
class JobOutput {
 public:
  // `shim` outlives this object.
  JobOutput(ShimApi& shim, std::string task) : shim_(shim), task_(std::move(task)) {}

  enum class Printed { piece, nothing, unheard };
  // The next piece of what is there; nothing once all is printed, unheard when nobody reads it any more.
  Printed print_piece();
  // All that is there; false when nobody reads it any more.
  bool print_all();
  // The job's last byte was printed.
  void finish();

  // Whether a job has begun to write, or could have.
  bool begun() const { return begun_; }

 private:
  ShimApi& shim_;
  const std::string task_;
  std::uint64_t position_ = 0;
  TerminalOutput terminal_;
  bool begun_ = false;
};

}  // namespace dstack::shim::client
