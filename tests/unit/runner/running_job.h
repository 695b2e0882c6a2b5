#pragma once

#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "common/os/unique_fd.h"
#include "runner/job/process.h"
#include "runner/job/process_tree.h"
#include "runner/job/terminal.h"
#include "runner/job/terminal_reader.h"

namespace dstack::test {

// What a terminal says, for one thread to wait for.
class Output {
 public:
  void append(std::string_view text) {
    const std::scoped_lock lock(mutex_);
    text_ += text;
    changed_.notify_all();
  }
  // Returns once `text` has appeared.
  void await(std::string_view text) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return text_.contains(text); });
  }
  std::string text() const {
    const std::scoped_lock lock(mutex_);
    return text_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;
};

// Every process below the test but for `except` and what is below it.
inline std::vector<runner::job::ProcessEntry> everything_below(const std::vector<pid_t>& except = {}) {
  return runner::job::find_descendants(::getpid(), os::list_processes(), except);
}

// A shell script on a terminal, run as the test's own user.
class RunningJob {
 public:
  explicit RunningJob(const std::string& script) : RunningJob(spec(script)) {}
  explicit RunningJob(const runner::job::ProcessSpec& what)
      : process(what, terminal), reader(terminal.output(), [this](std::string_view text) { output.append(text); }) {
    reader.begin();
  }

  static runner::job::ProcessSpec spec(const std::string& script) {
    runner::job::JobUser user;
    user.uid = ::getuid();
    user.gid = ::getgid();
    user.groups = {user.gid};
    return {.program = "/bin/sh",
            .arguments = {"sh", "-c", script},
            .environment = {"PATH=/usr/local/bin:/usr/bin:/bin"},
            .working_dir = "/",
            .user = user};
  }

  // Everything that was written to the terminal; call it when the writers are gone.
  std::string rest() {
    terminal.close_job_side();
    reader.finish();
    return output.text();
  }

  Output output;
  runner::job::Terminal terminal;
  runner::job::Process process;
  runner::job::TerminalReader reader;
};

inline os::UniqueFd make_event() { return os::UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }
inline void raise(const os::UniqueFd& event) { ::eventfd_write(event.get(), 1); }

}  // namespace dstack::test
