#include "shim/shutdown.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>

#include "common/error.h"
#include "common/os/signals.h"

namespace dstack::shim {

namespace {

constexpr std::chrono::milliseconds kOrdinaryGrace{5000};
// For the answer to the request itself.
constexpr std::chrono::milliseconds kForcedGrace{200};
constexpr std::chrono::milliseconds kLastGrace{2000};

}  // namespace

Shutdown::Shutdown(http::Server& server, const os::UniqueFd& signals)
    : server_(server), signals_(signals), watcher_([this] { watch(); }) {}

Shutdown::~Shutdown() {
  {
    const os::Lock lock(mutex_);
    gone_ = true;
    changed_.notify_all();
  }
  request(false);
  watcher_.join();
}

void Shutdown::request(bool force) {
  {
    const os::Lock lock(mutex_);
    force_ = force_ || force;
  }
  requested_.set();
}

void Shutdown::serving(std::function<void()> break_off, std::function<void()> on_sigterm) {
  const os::Lock lock(mutex_);
  on_sigterm_ = std::move(on_sigterm);
  break_off_ = std::move(break_off);
}

void Shutdown::served() {
  const os::Lock lock(mutex_);
  served_ = true;
  changed_.notify_all();
}

std::optional<int> Shutdown::wait_for_signal() {
  std::array<pollfd, 2> waiting{{{.fd = signals_.get(), .events = POLLIN, .revents = 0},
                                 {.fd = requested_.fd(), .events = POLLIN, .revents = 0}}};
  while (::poll(waiting.data(), waiting.size(), -1) < 0) {
  }
  if (waiting[0].revents == 0) return std::nullopt;
  return os::next_signal(signals_);
}

void Shutdown::watch() {
  const std::optional<int> signal = wait_for_signal();
  os::Lock lock(mutex_);
  if (gone_) return;
  if (!break_off_) ::_exit(0);
  if (signal == SIGTERM) {
    const std::function<void()> on_sigterm = on_sigterm_;
    lock.unlock();
    on_sigterm();
    lock.lock();
  }
  if (signal) spdlog::info("signal {}: exiting; containers keep running", *signal);
  server_.stop();
  const auto wait = [&](os::SteadyTime::duration limit, const std::function<bool()>& done) {
    return clock_.wait_until(lock.native(), changed_, clock_.now() + limit, done);
  };
  if (!wait(force_ ? kForcedGrace : kOrdinaryGrace, [this]() DSTACK_REQUIRES(mutex_) { return served_ || gone_; })) {
    const std::function<void()> break_off = break_off_;
    lock.unlock();
    break_off();
    server_.close_connections();
    lock.lock();
  }
  if (wait(kLastGrace, [this]() DSTACK_REQUIRES(mutex_) { return gone_; })) return;
  spdlog::warn("shutdown timed out; exiting anyway");
  ::_exit(0);
}

}  // namespace dstack::shim
