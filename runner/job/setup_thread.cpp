#include "runner/job/setup_thread.h"

#include <poll.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "common/error.h"
#include "common/os/thread.h"
#include "runner/job/start_when_possible.h"

namespace dstack::runner::job {

namespace {

constexpr std::chrono::seconds kPatience{1};

bool has_happened(int fd) {
  pollfd event{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&event, 1, 0) > 0;
}

}  // namespace

SetupThread::~SetupThread() {
  if (thread_.joinable()) thread_.join();
}

bool SetupThread::run(const std::function<void()>& step, int stop, os::Clock& clock) {
  const auto timer = clock.make_timer();
  const auto start = [this, &step] {
    thread_ = os::start_thread("prepare the job", [this, step] {
      try {
        step();
      } catch (...) {
        failure_ = std::current_exception();
      }
      done_.set();
    });
  };
  if (!start_when_possible(start, stop, clock)) return false;
  bool stopped = false;
  while (!has_happened(done_.fd())) {
    std::array<pollfd, 3> waiting{{{.fd = done_.fd(), .events = POLLIN, .revents = 0},
                                   {.fd = stopped ? -1 : stop, .events = POLLIN, .revents = 0},
                                   {.fd = timer->fd(), .events = POLLIN, .revents = 0}}};
    if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) throw os_error("wait for", "the setup");
    if (waiting[0].revents == 0 && waiting[2].revents != 0) {
      given_up_ = true;
      return false;
    }
    if (waiting[1].revents != 0) {
      stopped = true;
      timer->arm(clock.now() + kPatience);
    }
  }
  thread_.join();
  done_.clear();
  if (const auto failure = std::exchange(failure_, nullptr)) std::rethrow_exception(failure);
  return true;
}

bool SetupThread::hangs() const { return given_up_ && !has_happened(done_.fd()); }

}  // namespace dstack::runner::job
