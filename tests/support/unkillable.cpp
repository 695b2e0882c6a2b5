// A program that cannot be killed for a while, as one in an uninterruptible wait of the kernel:
//   unkillable FILE
// Writes FILE, prints "held" and goes on until it is killed; but nothing can reap it as long as FILE is there. A second
// process holds it as a debugger would, and lets go when FILE is removed.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <thread>

namespace {

[[noreturn]] void hold(pid_t process, const char* file, int ready) {
  ::setsid();
  const bool held = ::ptrace(PTRACE_SEIZE, process, nullptr, nullptr) == 0;
  const int made = held ? ::open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644) : -1;
  if (made >= 0) [[maybe_unused]]
    const ssize_t written = ::write(ready, "1", 1);
  for (int fd = 0; fd < 64; ++fd) ::close(fd);
  while (made >= 0 && ::access(file, F_OK) == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  ::_exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  int ends[2];
  if (argc < 2 || ::pipe(ends) != 0) return 2;
  ::prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
  const pid_t self = ::getpid();
  if (::fork() == 0) hold(self, argv[1], ends[1]);
  ::close(ends[1]);
  char answer = 0;
  if (::read(ends[0], &answer, 1) != 1) {
    std::fputs("this process cannot be held: ptrace is not allowed here\n", stderr);
    return 3;
  }
  std::puts("held");
  std::fflush(stdout);
  while (true) ::pause();
}
