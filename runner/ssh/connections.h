#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>

#include "common/os/clock.h"
#include "common/os/event.h"
#include "common/os/mutex.h"
#include "common/os/unique_fd.h"

namespace dstack::runner::ssh {

// The established TCP connections to `port` in a text like /proc/net/tcp's, each by a name of its own.
std::set<std::string> find_connections(std::string_view table, int port);

// Counts for how long nobody has been connected to the SSH port. Connections of 10 s or less are a server's and do not
// count. It looks every 2.5 s, on a thread of its own, from start() on. All members may be called from any thread.
class ConnectionWatch {
 public:
  explicit ConnectionWatch(int port, os::Clock& clock = os::system_clock(),
                           std::filesystem::path proc_net = "/proc/net");
  ConnectionWatch(const ConnectionWatch&) = delete;
  ConnectionWatch& operator=(const ConnectionWatch&) = delete;
  ~ConnectionWatch();

  // Only the first call counts.
  void start();

  // Whole seconds since the end of the last connection that counts, or since start() if there was none; 0 while there
  // is one, and before start(). Nothing where connections cannot be looked at.
  std::optional<std::int64_t> seconds_without() const;

 private:
  void run();
  void look();

  const int port_;
  os::Clock& clock_;
  const std::filesystem::path proc_net_;

  const std::unique_ptr<os::Timer> timer_;
  const os::Event stop_;

  mutable os::Mutex mutex_;
  bool unreadable_ DSTACK_GUARDED_BY(mutex_) = false;
  std::map<std::string, os::SteadyTime> first_seen_ DSTACK_GUARDED_BY(mutex_);
  std::optional<os::SteadyTime> last_connected_ DSTACK_GUARDED_BY(mutex_);
  os::SteadyTime last_look_ DSTACK_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace dstack::runner::ssh
