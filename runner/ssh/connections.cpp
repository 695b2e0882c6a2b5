#include "runner/ssh/connections.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <utility>

#include "common/error.h"
#include "common/os/file.h"

namespace dstack::runner::ssh {

namespace {

using namespace std::chrono_literals;

constexpr auto look_interval = 2500ms;
constexpr auto shortest_visit = 10s;

std::string_view next_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  const std::string_view word = line.substr(0, line.find(' '));
  line.remove_prefix(word.size());
  return word;
}

// The port behind the colon of "0100007F:2726".
std::optional<int> port_of(std::string_view address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view digits = address.substr(colon + 1);
  int port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port, 16);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return port;
}

}  // namespace

std::set<std::string> find_connections(std::string_view table, int port) {
  constexpr std::string_view established = "01";
  std::set<std::string> found;
  while (!table.empty()) {
    // "number: local remote state queues timer retransmissions uid timeout inode …"
    std::string_view line = table.substr(0, table.find('\n'));
    table.remove_prefix(std::min(line.size() + 1, table.size()));
    next_word(line);
    const std::string_view local = next_word(line);
    const std::string_view remote = next_word(line);
    if (next_word(line) != established || port_of(local) != port) continue;
    for (int skipped = 0; skipped < 5; ++skipped) next_word(line);
    // With the inode, since a new connection may come from the same port as an old one.
    found.insert(std::string(remote) + " " + std::string(next_word(line)));
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
  const std::scoped_lock lock(mutex_);
  if (thread_.joinable()) return;
  last_look_ = clock_.now();
  last_connected_ = last_look_;
  thread_ = std::thread([this] { run(); });
}

std::optional<std::int64_t> ConnectionWatch::seconds_without() const {
  const std::scoped_lock lock(mutex_);
  if (blind_) return std::nullopt;
  if (!last_connected_) return 0;
  return std::chrono::duration_cast<std::chrono::seconds>(last_look_ - *last_connected_).count();
}

void ConnectionWatch::run() {
  std::array<pollfd, 2> waiting{
      {{.fd = stop_.fd(), .events = POLLIN, .revents = 0}, {.fd = timer_->fd(), .events = POLLIN, .revents = 0}}};
  while (true) {
    timer_->arm(last_look_ + look_interval);
    ::poll(waiting.data(), waiting.size(), -1);
    if (waiting[0].revents != 0) return;
    if (waiting[1].revents != 0) look();
  }
}

void ConnectionWatch::look() {
  const auto ip4 = os::try_read_file(proc_net_ / "tcp");
  const auto ip6 = os::try_read_file(proc_net_ / "tcp6");  // absent where there is no IPv6
  const std::scoped_lock lock(mutex_);
  last_look_ = clock_.now();
  blind_ = !ip4 && !ip6;
  std::set<std::string> open = find_connections(ip4.value_or(""), port_);
  open.merge(find_connections(ip6.value_or(""), port_));
  std::erase_if(first_seen_, [&open](const auto& seen) { return !open.contains(seen.first); });
  for (const std::string& connection : open) {
    const auto [seen, is_new] = first_seen_.try_emplace(connection, last_look_);
    if (last_look_ - seen->second > shortest_visit) last_connected_ = last_look_;
  }
}

}  // namespace dstack::runner::ssh
