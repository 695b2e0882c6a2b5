// The least that anything must do that runs a command on a terminal and keeps its output:
//   bench_terminal_loop FILE COMMAND [ARGUMENT…]
// Prints "END CPU": the time when the last byte was written to FILE, and the loop's own CPU seconds.

#include <fcntl.h>
#include <pty.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <print>
#include <vector>

#include "tests/bench/programs/clock.h"

namespace {

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3) return 2;
  const int file = ::open(arguments[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) fail(arguments[1]);
  int terminal = -1;
  const pid_t child = ::forkpty(&terminal, nullptr, nullptr, nullptr);
  if (child < 0) fail("forkpty");
  if (child == 0) {
    ::execvp(arguments[2], arguments + 2);
    ::_exit(127);
  }
  std::vector<char> buffer(65536);
  while (true) {
    const ssize_t size = ::read(terminal, buffer.data(), buffer.size());
    if (size <= 0) break;
    if (::write(file, buffer.data(), static_cast<std::size_t>(size)) != size) fail("write");
  }
  const std::int64_t end = now_ns();
  int status = 0;
  ::waitpid(child, &status, 0);
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  std::println("{} {:.4f}", end, seconds(used.ru_utime) + seconds(used.ru_stime));
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
