#pragma once

#include <stop_token>
#include <string>
#include <thread>

#include "common/os/clock.h"
#include "common/os/event.h"
#include "common/os/unique_fd.h"
#include "shim/client/held_runner.h"

namespace dstack::shim::ci {

// While it lives, a signal that comes stops a program in a held container: the program, and all that came of it, get
// the signal, and SIGKILL 5 s later. After 7 s it no longer waits for the end of the program.
class StopOnSignal {
 public:
  // `signals` is os::block_and_watch()'s. The program gets `instead` where that is not empty, "SIGTERM". All references
  // must outlive this.
  StopOnSignal(client::HeldRunner& runner, std::string id, const os::UniqueFd& signals, std::string instead = {},
               os::Clock& clock = os::system_clock());
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;
  ~StopOnSignal() { over_.set(); }

  // Requested when the program has not ended in time; HeldRunner::run() takes it.
  std::stop_token gave_up() const { return give_up_.get_token(); }

 private:
  void watch();
  bool send_stop(const std::string& signal);

  client::HeldRunner& runner_;
  const std::string id_;
  const os::UniqueFd& signals_;
  const std::string instead_;
  os::Clock& clock_;
  os::Event over_;
  std::stop_source give_up_;
  std::jthread thread_;  // last: it uses the others
};

// A stop that is requested once a signal can be taken from `signals`; it is left there.
class StopTokenOfSignals {
 public:
  explicit StopTokenOfSignals(const os::UniqueFd& signals);
  StopTokenOfSignals(const StopTokenOfSignals&) = delete;
  StopTokenOfSignals& operator=(const StopTokenOfSignals&) = delete;
  ~StopTokenOfSignals() { over_.set(); }

  std::stop_token get() const { return stop_.get_token(); }

 private:
  const os::UniqueFd& signals_;
  os::Event over_;
  std::stop_source stop_;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace dstack::shim::ci
