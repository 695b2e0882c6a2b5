#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "common/os/child.h"
#include "common/os/clock.h"

namespace dstack::os {

struct Command {
  std::vector<std::string> arguments;  // [0] is found through PATH
  // NAME=value, and nothing else; absent: the own environment with LC_ALL=C, so that tools answer untranslated.
  std::optional<std::vector<std::string>> environment;
  std::string input;                                // written to its standard input; needs ignore_broken_pipes()
  std::chrono::milliseconds limit{10000};           // then it and its process group are killed
  std::size_t output_limit = std::size_t{4} << 20;  // bytes kept of each stream; the rest is read and dropped
  bool dies_with_parent = false;
  // While a command with this key was killed and still hangs in the kernel, no other is started. Empty: the arguments.
  std::string key;
};

struct CommandResult {
  enum class End { exited, signalled, timed_out, cancelled };
  End end = End::exited;
  int exit_status = 0;  // for exited
  int signal = 0;       // for signalled
  std::string output;
  std::string errors;
  bool truncated = false;
  bool hangs = false;  // it was killed and has not ended a second later (for timed_out and cancelled)

  bool succeeded() const { return end == End::exited && exit_status == 0; }
  // "exited with status 2: first line of its errors", "killed by SIGTERM", "gave no answer within 10 s".
  std::string describe() const;
};

// Runs a program to its end, with no shell in between. No process of its group is left, but for one that cannot be
// killed (os::Child), and the result says how it ended. Takes a second more than `limit` at most. Throws Error as
// os::Child does if it cannot be started. From any thread.
CommandResult run_command(const Command& command, const std::stop_token& stop = {}, Clock& clock = system_clock());

}  // namespace dstack::os
