// Starts a command on a terminal with posix_spawn and waits for its first output:
//   bench_first_line COMMAND [ARGUMENT…]
// Prints the nanoseconds that took.

#include <fcntl.h>
#include <pty.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <print>

#include "tests/bench/programs/clock.h"

int main(int count, char** arguments) {
  if (count < 2) return 2;
  const std::int64_t start = now_ns();
  int terminal = -1;
  int other = -1;
  std::array<char, 64> name{};
  if (::openpty(&terminal, &other, name.data(), nullptr, nullptr) != 0) fail("openpty");
  posix_spawn_file_actions_t actions{};
  ::posix_spawn_file_actions_init(&actions);
  // Opened by the child after setsid, so that it is its controlling terminal.
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, name.data(), O_RDWR, 0);
  ::posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDERR_FILENO);
  posix_spawnattr_t attributes{};
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  pid_t child = 0;
  if (::posix_spawnp(&child, arguments[1], &actions, &attributes, arguments + 1, environ) != 0) fail(arguments[1]);
  std::array<char, 4096> buffer{};
  if (::read(terminal, buffer.data(), buffer.size()) <= 0) fail("read");
  std::println("{}", now_ns() - start);
  ::waitpid(child, nullptr, 0);
  return 0;
}
