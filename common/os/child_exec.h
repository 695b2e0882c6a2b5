#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>

namespace dstack::os {

// The steps of a child on its way to its program.
enum class ExecStep : int { streams, session, terminal, user, working_dir, parent, program };

// What the child reports when a step fails, through a pipe that a successful exec closes.
struct ExecFailure {
  ExecStep step = ExecStep::program;
  int code = 0;  // errno
};

// Everything the child needs, laid out before the fork: between fork and exec it makes system calls only, since another
// thread may have held the allocator's lock.
struct ExecPlan {
  const char* program = nullptr;  // a path
  char* const* arguments = nullptr;
  char* const* environment = nullptr;
  const char* working_dir = nullptr;  // null: stays where it is
  std::array<int, 3> streams{};       // its standard input, output and error
  int report = -1;                    // the pipe for an ExecFailure
  bool own_session = false;           // otherwise a process group of its own
  bool controlling_terminal = false;  // standard input becomes the session's terminal
  bool unlimited_memory_lock = false;
  bool change_user = false;
  uid_t uid = 0;
  gid_t gid = 0;
  const gid_t* groups = nullptr;
  std::size_t group_count = 0;
  bool dies_with_parent = false;
  pid_t parent = 0;
};

// Runs in the child. Every signal must be blocked.
[[noreturn]] void exec_child(const ExecPlan& plan);

}  // namespace dstack::os
