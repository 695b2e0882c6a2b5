#include "shim/ci/stop_on_signal.h"

#include <poll.h>

#include <array>
#include <chrono>
#include <iostream>
#include <utility>

#include "common/os/signals.h"
#include "common/os/thread.h"
#include "common/os/wait.h"

namespace dstack::shim::ci {

namespace {

constexpr std::chrono::seconds kStopGrace{5};
constexpr std::chrono::milliseconds kStopInterval{200};
// Then the connection is closed, which stops the program too. The Actions agent sends SIGTERM after 7.5 s.
constexpr std::chrono::seconds kStopLimit{7};

std::array<pollfd, 2> descriptors(const os::UniqueFd& signals, const os::Event& over) {
  return {{{.fd = signals.get(), .events = POLLIN, .revents = 0}, {.fd = over.fd(), .events = POLLIN, .revents = 0}}};
}

}  // namespace

StopOnSignal::StopOnSignal(client::HeldRunner& runner, std::string id, const os::UniqueFd& signals, std::string instead,
                           os::Clock& clock)
    : runner_(runner), id_(std::move(id)), signals_(signals), instead_(std::move(instead)), clock_(clock) {
  thread_ = os::start_thread<std::jthread>("wait for signals", [this] {
    try {
      watch();
    } catch (const std::exception& error) {
      std::cerr << error.what() << '\n';
    }
  });
}

void StopOnSignal::watch() {
  auto waiting = descriptors(signals_, over_);
  os::Wait(clock_).until_ready(waiting, "a signal");
  if (waiting[1].revents != 0) return;
  std::string signal = instead_;
  if (signal.empty()) signal = os::signal_name(os::next_signal(signals_)).value_or("SIGTERM");
  bool sent = false;
  for (const os::SteadyTime deadline = clock_.now() + kStopLimit; waiting[1].revents == 0;) {
    if (clock_.now() >= deadline) {
      give_up_.request_stop();
      return;
    }
    if (!sent) sent = send_stop(signal);
    os::Wait(clock_, {}, clock_.now() + kStopInterval).until_ready({&waiting[1], 1}, "the end of a program");
  }
}

// False if the program has not begun, or the runner could not be asked.
bool StopOnSignal::send_stop(const std::string& signal) {
  try {
    return runner_.stop(id_, signal, kStopGrace);
  } catch (const std::exception& error) {
    std::cerr << "stop the program: " << error.what() << '\n';
    return false;
  }
}

StopTokenOfSignals::StopTokenOfSignals(const os::UniqueFd& signals) : signals_(signals) {
  thread_ = os::start_thread<std::jthread>("wait for signals", [this] {
    auto waiting = descriptors(signals_, over_);
    try {
      os::Wait(os::system_clock()).until_ready(waiting, "a signal");
      if (waiting[0].revents != 0) stop_.request_stop();
    } catch (const std::exception& error) {
      std::cerr << error.what() << '\n';
    }
  });
}

}  // namespace dstack::shim::ci
