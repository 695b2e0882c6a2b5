#include "runner/ssh/connections.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include <spdlog/spdlog.h>

#include "common/error.h"
#include "common/os/file.h"
#include "common/os/proc_net.h"
#include "common/os/thread.h"

namespace dstack::runner::ssh {

namespace {

using namespace std::chrono_literals;

constexpr auto kLookInterval = 2500ms;
constexpr auto kShortestVisit = 10s;

}  // namespace

std::set<std::string> find_connections(std::string_view table, int port) {
  std::set<std::string> found;
  for (const os::TcpEntry& entry : os::parse_proc_net_tcp(table)) {
    // With the inode, since a new connection may come from the same port as an old one.
    if (entry.is_established() && entry.local_port == port)
      found.insert(std::string(entry.remote) + " " + std::string(entry.inode));
  }
  return found;
}

ConnectionWatch::ConnectionWatch(int port, os::Clock& clock, std::filesystem::path proc_net)
    : port_(port), clock_(clock), proc_net_(std::move(proc_net)), timer_(clock.make_timer()) {}

ConnectionWatch::~ConnectionWatch() {
  stop_.set();
  if (thread_.joinable()) thread_.join();
}

void ConnectionWatch::start() {
  const os::Lock lock(mutex_);
  if (thread_.joinable()) return;
  last_look_ = clock_.now();
  last_connected_ = last_look_;
  try {
    thread_ = os::start_thread("watch SSH connections", [this] { run(); });
  } catch (const std::exception& error) {
    // The job goes on; it is only not known how long nobody has been connected.
    spdlog::error("{}", error.what());
    unreadable_ = true;
  }
}

std::optional<std::int64_t> ConnectionWatch::seconds_without() const {
  const os::Lock lock(mutex_);
  if (unreadable_) return std::nullopt;
  if (!last_connected_) return 0;
  return std::chrono::duration_cast<std::chrono::seconds>(last_look_ - *last_connected_).count();
}

void ConnectionWatch::run() {
  std::array<pollfd, 2> waiting{
      {{.fd = stop_.fd(), .events = POLLIN, .revents = 0}, {.fd = timer_->fd(), .events = POLLIN, .revents = 0}}};
  while (true) {
    {
      const os::Lock lock(mutex_);
      timer_->arm(last_look_ + kLookInterval);
    }
    ::poll(waiting.data(), waiting.size(), -1);
    if (waiting[0].revents != 0) return;
    if (waiting[1].revents == 0) continue;
    try {
      look();
    } catch (const std::exception& error) {
      spdlog::error("Cannot look for SSH connections: {}", error.what());
      const os::Lock lock(mutex_);
      last_look_ = clock_.now();
    }
  }
}

void ConnectionWatch::look() {
  const auto ip4 = os::try_read_file(proc_net_ / "tcp");
  const auto ip6 = os::try_read_file(proc_net_ / "tcp6");  // absent where there is no IPv6
  const os::Lock lock(mutex_);
  last_look_ = clock_.now();
  unreadable_ = !ip4 && !ip6;
  std::set<std::string> open = find_connections(ip4.value_or(""), port_);
  open.merge(find_connections(ip6.value_or(""), port_));
  std::erase_if(first_seen_, [&open](const auto& seen) { return !open.contains(seen.first); });
  for (const std::string& connection : open) {
    const auto [seen, is_new] = first_seen_.try_emplace(connection, last_look_);
    if (last_look_ - seen->second > kShortestVisit) last_connected_ = last_look_;
  }
}

}  // namespace dstack::runner::ssh
