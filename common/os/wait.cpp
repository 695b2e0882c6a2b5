#include "common/os/wait.h"

#include <algorithm>
#include <cerrno>
#include <functional>
#include <vector>

#include "common/error.h"

namespace dstack::os {

Wait::Wait(Clock& clock, const std::stop_token& stop, std::optional<SteadyTime> deadline)
    : on_stop_(stop, [this] { stopped_.set(); }) {
  if (!deadline) return;
  timer_ = clock.make_timer();
  timer_->arm(*deadline);
}

Wait::Outcome Wait::until_ready(std::span<pollfd> descriptors, std::string_view subject) {
  std::vector<pollfd> waiting(descriptors.begin(), descriptors.end());
  waiting.push_back({.fd = stopped_.fd(), .events = POLLIN, .revents = 0});
  waiting.push_back({.fd = timer_ ? timer_->fd() : -1, .events = POLLIN, .revents = 0});
  while (::poll(waiting.data(), waiting.size(), -1) < 0) {
    if (errno != EINTR) throw os_error("wait for", subject);
  }
  std::ranges::copy_n(waiting.begin(), static_cast<std::ptrdiff_t>(descriptors.size()), descriptors.begin());
  if (waiting[descriptors.size()].revents != 0) return Outcome::stopped;
  return waiting.back().revents != 0 ? Outcome::timed_out : Outcome::ready;
}

}  // namespace dstack::os
