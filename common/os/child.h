#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "common/os/clock.h"
#include "common/os/process_watch.h"
#include "common/os/unique_fd.h"
#include "common/os/user_db.h"

namespace dstack::os {

struct ExecFailure;

// A program that is absent or that the kernel does not execute; `code` is execve(2)'s errno.
class ExecError : public Error {
 public:
  ExecError(ErrorKind kind, const std::string& message, int code) : Error(kind, message), code_(code) {}
  int code() const { return code_; }

 private:
  int code_;
};

// How a child ended.
struct ExitStatus {
  int code = 0;               // of a child that exited; -1 with a signal
  std::optional<int> signal;  // that ended it

  bool succeeded() const { return !signal && code == 0; }
  // "exited with status 2", "was killed by signal 9"
  std::string describe() const;

  friend bool operator==(const ExitStatus&, const ExitStatus&) = default;
};

// What one of a child's standard streams is connected to.
struct ChildStream {
  enum class Kind { null, pipe, descriptor };
  Kind kind = Kind::null;
  int descriptor = -1;  // the caller's own, only used while the child is started

  static ChildStream pipe() { return {.kind = Kind::pipe}; }
  static ChildStream to(int descriptor) { return {.kind = Kind::descriptor, .descriptor = descriptor}; }
};

// Whose rights a child gets.
struct ChildUser {
  std::string name;  // for messages
  UserId uid = 0;
  UserId gid = 0;
  std::vector<UserId> groups;
};

// What to start. Everything that is not named here is as a fresh program expects it: no signal blocked, ignored or
// handled, no descriptor open but the standard streams.
struct ChildSpec {
  std::vector<std::string> arguments;  // [0] is what the program is called by
  std::filesystem::path program;       // empty: arguments[0], which is found through PATH unless it has a slash
  // NAME=value, and nothing else; absent: this process's own with LC_ALL=C, so that tools answer untranslated.
  std::optional<std::vector<std::string>> environment;
  std::filesystem::path working_dir;  // empty: this process's
  ChildStream input;
  ChildStream output;
  ChildStream errors;
  bool own_session = false;           // without one it leads a process group of its own
  bool controlling_terminal = false;  // its input is a terminal that becomes the session's; needs own_session
  std::optional<ChildUser> user;
  bool unlimited_memory_lock = false;
  bool dies_with_parent = false;  // the kernel kills it when this process ends, however that comes about
  bool spare_group = false;       // kill() ends the child alone, and what it has started goes on
  // While a child with this key that was killed has not ended (an uninterruptible wait in the kernel), no other is
  // started. Empty: any number.
  std::string key;
  // From the fork to the program's own beginning: a program on a dead network disk may never be loaded.
  std::chrono::milliseconds start_limit{10000};
};

// A child process. Whatever becomes of this object, the child and its process group are killed and waited for: for a
// second; then one that hangs in the kernel is handed to the thread that goes on waiting (child_thread.h).
//
// One thread at a time uses a Child, any thread: it does not belong to the one that started it.
class Child {
 public:
  // Returns when the program runs. Throws Error: what was tried, on what, and why; ExecError, not_found if the program
  // is absent, invalid for a NUL byte in an argument, exhausted if no process can be made now, timed_out or cancelled
  // if it was not loaded until then, unavailable for anything else, a predecessor that cannot be killed included.
  explicit Child(const ChildSpec& spec, Clock& clock = system_clock(), const std::stop_token& stop = {});
  Child(Child&& other) noexcept;
  Child& operator=(Child&&) = delete;
  ~Child();

  // Also its process group's number, and its session's with own_session. It stays taken until the child was reaped.
  pid_t pid() const { return pid_; }
  // Becomes and stays readable when it has ended.
  int ended_fd() const { return watch_->fd(); }

  Clock& clock() const { return *clock_; }

  // Our ends of its pipes, which do not block; invalid where there is none. The caller may close or take them.
  UniqueFd& input() { return input_; }
  UniqueFd& output() { return output_; }
  UniqueFd& errors() { return errors_; }

  // Writes all of `text` to its input; false if it does not read it, has ended, or `stop` or `deadline` comes first.
  bool write(std::string_view text, const std::stop_token& stop = {}, std::optional<SteadyTime> deadline = {});

  // Sends a signal to the child alone, or to its whole process group. Nothing happens if it was reaped.
  void signal(int number) const;
  void signal_group(int number) const;

  // How it ended; nothing if it has not. Never blocks.
  std::optional<ExitStatus> try_wait();
  // Waits for its end; nothing if `stop` or `deadline` comes first.
  std::optional<ExitStatus> wait(const std::stop_token& stop = {}, std::optional<SteadyTime> deadline = {});
  // Kills it and its group, also what is left of the group of one that has ended. Nothing if it has not ended a second
  // later: then it is no longer this object's.
  std::optional<ExitStatus> kill();

 private:
  // Waits until the program was loaded; true with the failure if it could not be. Throws Error if it takes too long.
  static bool await_start(const UniqueFd& report, std::chrono::milliseconds limit, const std::string& program,
                          const std::stop_token& stop, ExecFailure& failure);

  Clock* clock_;
  pid_t pid_ = -1;  // -1: moved from, or handed over
  bool spare_group_ = false;
  std::string key_;
  std::optional<ExitStatus> status_;  // once it was reaped
  std::unique_ptr<ProcessWatch> watch_;
  UniqueFd input_;
  UniqueFd output_;
  UniqueFd errors_;
};

// The program's path by PATH, nothing if it is not there. Names with a slash are taken as they are.
std::optional<std::string> find_program(const std::string& name);

}  // namespace dstack::os
