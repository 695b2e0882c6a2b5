#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "common/os/clock.h"

namespace dstack::os {

struct Command {
  std::vector<std::string> arguments;  // [0] is found through PATH
  // NAME=value, and nothing else; absent: the own environment with LC_ALL=C, so that tools answer untranslated.
  std::optional<std::vector<std::string>> environment;
  std::string input;                                // written to its standard input; needs ignore_broken_pipes()
  std::chrono::milliseconds limit{10000};           // then it and its process group are killed
  std::size_t output_limit = std::size_t{4} << 20;  // bytes kept of each stream; the rest is read and dropped
};

struct CommandResult {
  enum class End { exited, signalled, timed_out, cancelled };
  End end = End::exited;
  int exit_status = 0;  // for exited
  int signal = 0;       // for signalled
  std::string output;
  std::string errors;
  bool truncated = false;

  bool succeeded() const { return end == End::exited && exit_status == 0; }
  // "exited with status 2: first line of its errors", "killed by SIGTERM", "gave no answer within 10 s".
  std::string describe() const;
};

// Runs a program to its end, with no shell in between. Whatever happens, no process of its group is left and the
// result says how it ended. Throws Error (not_found) if the program does not exist or cannot be executed.
// Blocks; from any thread.
CommandResult run_command(const Command& command, std::stop_token stop = {}, Clock& clock = system_clock());

// Starts a program, named by its path, that goes on beside this one: leader of a session of its own, with no input and
// both outputs appended to a file, an empty signal mask and exactly this environment. The calling thread is its parent:
// it lives as long as the program and waits for it. Throws Error.
pid_t start_background(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
                       const std::filesystem::path& output);

// The program's path by PATH, nothing if it is not there. Names with a slash are taken as they are.
std::optional<std::string> find_program(const std::string& name);

}  // namespace dstack::os
