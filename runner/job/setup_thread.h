#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <thread>

#include "common/os/clock.h"
#include "common/os/event.h"

namespace dstack::runner::job {

// Runs steps that may hang on what is outside the container (a git server, a name server, a dead network disk) on a
// thread of its own, so that a stop does not wait for them. One step at a time; run() is for one thread.
class SetupThread {
 public:
  SetupThread() = default;
  SetupThread(const SetupThread&) = delete;
  SetupThread& operator=(const SetupThread&) = delete;
  // Waits for a step that was given up.
  ~SetupThread();

  // Runs `step`, and throws what it throws. False if it was given up: `stop` is readable and the step has not ended a
  // second later, for which it should look at `stop` by itself. It goes on then, so what it uses outlives this object.
  // Also false if `stop` came before a thread could be made for it.
  bool run(const std::function<void()>& step, int stop, os::Clock& clock);

  // A step was given up and has not ended yet. From any thread.
  bool hangs() const;

 private:
  const os::Event done_;  // readable from the step's end to the next one
  std::exception_ptr failure_;
  std::thread thread_;
  std::atomic<bool> given_up_ = false;
};

}  // namespace dstack::runner::job
