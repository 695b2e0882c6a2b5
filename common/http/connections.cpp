#include "common/http/connections.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <exception>
#include <thread>
#include <utility>

#include "common/error.h"
#include "common/os/thread.h"

namespace dstack::http {

namespace {

// Threads that wait for as long as the server runs; others end when they have not been needed for a while.
constexpr std::size_t kSpareThreads = 2;
constexpr std::chrono::milliseconds kUnneeded{10'000};

os::UniqueFd make_poll() {
  os::UniqueFd poll(::epoll_create1(EPOLL_CLOEXEC));
  if (!poll) throw os_error("wait for connections", "");
  return poll;
}

}  // namespace

Connections::Connections(std::size_t limit, std::chrono::milliseconds idle, std::function<bool(Connection&)> serve,
                         os::Clock& clock)
    : limit_(limit), idle_(idle), serve_(std::move(serve)), clock_(clock), poll_(make_poll()) {
  epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
  if (::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, finished_.fd(), &event) != 0) throw os_error("wait for connections", "");
}

// One event, for one thread; then it is asked for again.
bool Connections::try_wait_for(Connection& connection, int operation) const {
  epoll_event event{.events = EPOLLIN | EPOLLONESHOT, .data = {.ptr = &connection}};
  if (::epoll_ctl(poll_.get(), operation, connection.stream.socket(), &event) == 0) return true;
  spdlog::warn("{}", os_error("wait for a connection", "").what());
  return false;
}

bool Connections::add(std::unique_ptr<Connection>& connection) {
  if (!ensure_waiting_thread()) return false;
  Connection& added = *connection;
  const os::Lock lock(mutex_);
  if (finishing_ || open_.size() >= limit_) return false;
  added.idle_since = clock_.now();
  if (open_.empty()) next_look_ = added.idle_since + idle_;
  if (!try_wait_for(added, EPOLL_CTL_ADD)) return false;
  open_.emplace(&added, std::move(connection));
  return true;
}

void Connections::give_away(Connection& connection) {
  ::epoll_ctl(poll_.get(), EPOLL_CTL_DEL, connection.stream.socket(), nullptr);
  const os::Lock lock(mutex_);
  connection.is_given_away = true;
}

int Connections::end_silent() {
  const os::Lock lock(mutex_);
  if (open_.empty()) return -1;
  const os::SteadyTime now = clock_.now();
  if (now >= next_look_) {
    next_look_ = now + idle_;
    for (const auto& [connection, owner] : open_) {
      if (connection->is_served) continue;
      const os::SteadyTime deadline = connection->idle_since + idle_;
      // A thread wakes, reads the end, and closes it.
      if (deadline <= now) {
        ::shutdown(connection->stream.socket(), SHUT_RDWR);
      } else {
        next_look_ = std::min(next_look_, deadline);
      }
    }
  }
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(next_look_ - now).count());
}

void Connections::break_off() {
  const os::Lock lock(mutex_);
  for (const auto& [connection, owner] : open_) {
    if (!connection->is_given_away) ::shutdown(connection->stream.socket(), SHUT_RDWR);
  }
}

void Connections::finish() {
  os::Lock lock(mutex_);
  finishing_ = true;
  for (const auto& [connection, owner] : open_) {
    if (!connection->is_served) ::shutdown(connection->stream.socket(), SHUT_RDWR);
  }
  changed_.wait(lock.native(), [this]() DSTACK_REQUIRES(mutex_) { return open_.empty(); });
  finished_.set();
  changed_.wait(lock.native(), [this]() DSTACK_REQUIRES(mutex_) { return threads_ == 0; });
}

bool Connections::ensure_waiting_thread() {
  {
    const os::Lock lock(mutex_);
    if (waiting_ > 0 || threads_ > limit_) return true;
    // From now on, so that no other thread makes one too.
    ++threads_;
    ++waiting_;
  }
  try {
    os::start_thread("serve connections", [this] { work(); }).detach();
    return true;
  } catch (const std::exception& error) {
    const os::Lock lock(mutex_);
    --threads_;
    --waiting_;
    changed_.notify_all();
    return threads_ > 0;
  }
}

bool Connections::leave_if_not_needed(bool was_idle) {
  const os::Lock lock(mutex_);
  if (waiting_ <= kSpareThreads) return false;
  // The kernel wakes the thread that has waited for the shortest time. Where requests come often, that one is never
  // idle, and those that are may be the spare ones.
  if (!was_idle && clock_.now() < last_all_busy_ + kUnneeded) return false;
  --waiting_;
  --threads_;
  changed_.notify_all();
  return true;
}

void Connections::work() {
  bool is_needed = true;
  while (true) {
    epoll_event event{};
    const int ready = ::epoll_wait(poll_.get(), &event, 1, is_needed ? -1 : static_cast<int>(kUnneeded.count()));
    if (ready < 0) continue;  // a signal
    if (ready == 0) {
      if (leave_if_not_needed(true)) return;
      is_needed = true;
      continue;
    }
    if (event.data.ptr == nullptr) break;
    auto& connection = *static_cast<Connection*>(event.data.ptr);
    begin(connection);
    bool stays = false;
    try {
      stays = serve_(connection);
    } catch (const std::exception& error) {
      spdlog::error("A connection's thread: {}", error.what());
    }
    is_needed = !end(connection, stays);
    if (!is_needed && leave_if_not_needed(false)) return;
  }
  const os::Lock lock(mutex_);
  --waiting_;
  --threads_;
  // Under the lock, so that finish() cannot return and the object be gone while this still touches it.
  changed_.notify_all();
}

void Connections::begin(Connection& connection) {
  bool is_last = false;
  {
    const os::Lock lock(mutex_);
    connection.is_served = true;
    is_last = --waiting_ == 0;
    if (is_last) last_all_busy_ = clock_.now();
  }
  // What is served may take long.
  if (is_last) ensure_waiting_thread();
}

bool Connections::end(Connection& connection, bool stays) {
  os::Lock lock(mutex_);
  connection.is_served = false;
  connection.idle_since = clock_.now();
  if (!stays || finishing_ || connection.is_given_away || !try_wait_for(connection, EPOLL_CTL_MOD)) {
    auto ended = open_.extract(&connection);
    changed_.notify_all();
    lock.unlock();
    // It is closed, which may take seconds: until the peer has the last byte.
    ended = {};
    lock.lock();
  }
  return ++waiting_ > kSpareThreads;
}

}  // namespace dstack::http
