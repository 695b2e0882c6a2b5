#pragma once

#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/os/child.h"
#include "common/os/event.h"
#include "common/os/mutex.h"

namespace dstack::shim::ci {

struct KeptProgramSpec {
  std::vector<std::string> arguments;    // [0] is the program's path
  std::vector<std::string> environment;  // NAME=value, and nothing else
  int shim_port = 0;                     // see KeeperOptions
};

// A program that runs under a keeper (keeper.h), so that nothing of it outlives this process. Its lines, and how it
// ended, are reported on a thread of this object's; nothing is reported after the end, and nothing once the destructor
// has begun.
class KeptProgram {
 public:
  using LineTaker = std::function<void(const std::string& line)>;
  using EndTaker = std::function<void(const os::ExitStatus& status)>;

  // Throws Error if it cannot be started.
  KeptProgram(const KeptProgramSpec& spec, LineTaker take_line, EndTaker take_end);
  KeptProgram(const KeptProgram&) = delete;
  KeptProgram& operator=(const KeptProgram&) = delete;
  // Kills it, and everything below it.
  ~KeptProgram();

  void signal(int number);
  // Kills it and everything below it, sessions of their own included; a shim's tasks are ended first.
  void kill();

 private:
  void run(const std::stop_token& stop);
  void obey();

  const LineTaker take_line_;
  const EndTaker take_end_;
  os::Event ordered_;
  os::Mutex mutex_;
  std::vector<int> signals_ DSTACK_GUARDED_BY(mutex_);  // to be sent
  bool kill_ DSTACK_GUARDED_BY(mutex_) = false;
  os::Child keeper_;  // used by the thread alone
  std::jthread thread_;
};

}  // namespace dstack::shim::ci
