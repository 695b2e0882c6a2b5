#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/inject/fault_kind.h"

namespace dstack::test {

// A program whose system calls fail on command. It is traced (ptrace(2)); a seccomp filter stops it before the calls
// that a fault may concern and lets all others pass. Faults concern the threads of the process that executes `program`,
// not its children. That process may be started by way of others: `arguments` is what is executed first.
class TracedProgram {
 public:
  // Output is appended to `log`.
  TracedProgram(std::filesystem::path program, std::vector<std::string> arguments, std::vector<std::string> environment,
                std::filesystem::path log);
  TracedProgram(const TracedProgram&) = delete;
  TracedProgram& operator=(const TracedProgram&) = delete;
  // Kills it.
  ~TracedProgram();

  // From now on the `nth` call (from 1) that the kind applies to fails; with `sticky` every later one, too.
  void arm(const FaultKind& kind, unsigned nth, bool sticky);
  struct Outcome {
    unsigned seen = 0;     // calls that the kind applies to
    unsigned reached = 0;  // calls that were to fail, but for those whose thread was killed first
    unsigned failed = 0;   // calls that returned the error, as seen after the call
    std::string first;     // the first that failed: "openat"
  };
  // Blocks until each call that was made to fail has returned.
  Outcome disarm();

  // Blocks until `program` was executed; false if it never will be.
  bool await_program();
  pid_t pid() const;
  // The signal that a crash of `program` is, SIGABRT or SIGSEGV, if it has crashed. It is killed then: the first
  // process of a namespace that is traced would go on.
  std::optional<int> crashed() const;
  // waitpid(2)'s status of `program`, once it has ended.
  std::optional<int> ended() const;
  int await_end();
  void signal(int number) const;

 private:
  void trace();
  void start();
  void stopped(pid_t thread, int status);
  void entered(pid_t thread);
  void returned(pid_t thread);
  void executed(pid_t thread);
  void gone(pid_t thread);
  bool is_concerned(pid_t thread);

  const std::filesystem::path program_;
  std::vector<std::string> arguments_;
  std::vector<std::string> environment_;
  const std::filesystem::path log_;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  pid_t first_ = 0;
  pid_t main_ = 0;
  std::optional<int> status_;
  std::optional<int> crash_;
  bool over_ = false;
  const FaultKind* kind_ = nullptr;
  unsigned nth_ = 0;
  bool sticky_ = false;
  Outcome outcome_;
  std::map<pid_t, int> failing_;  // the error, by thread, of the calls that have not returned yet

  // Of the tracing thread.
  std::map<pid_t, bool> concerned_;  // by thread, of those that have been seen
  std::thread tracer_;
};

}  // namespace dstack::test
