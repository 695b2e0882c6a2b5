#include "runner/job/start_when_possible.h"

#include <poll.h>
#include <spdlog/spdlog.h>

#include <array>
#include <cerrno>
#include <chrono>

#include "common/error.h"

namespace dstack::runner::job {

namespace {

constexpr std::chrono::seconds kThreadPause{1};
constexpr std::chrono::minutes kThreadPatience{5};

}  // namespace

bool start_when_possible(const std::function<void()>& start, int stop, os::Clock& clock) {
  const os::SteadyTime deadline = clock.now() + kThreadPatience;
  const auto timer = clock.make_timer();
  for (int attempt = 1;; ++attempt) {
    try {
      start();
      return true;
    } catch (const std::exception& error) {
      if (error_kind(error) != ErrorKind::exhausted || clock.now() >= deadline) throw;
      spdlog::log(attempt == 1 ? spdlog::level::err : spdlog::level::debug, "{}; trying again every second",
                  error.what());
    }
    timer->arm(clock.now() + kThreadPause);
    std::array<pollfd, 2> waiting{
        {{.fd = stop, .events = POLLIN, .revents = 0}, {.fd = timer->fd(), .events = POLLIN, .revents = 0}}};
    while (::poll(waiting.data(), waiting.size(), -1) < 0) {
      if (errno != EINTR) throw os_error("wait for", "a thread");
    }
    if (waiting[0].revents != 0) return false;
  }
}

}  // namespace dstack::runner::job
