#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>

#include "common/http/connection.h"
#include "common/os/clock.h"
#include "common/os/event.h"
#include "common/os/mutex.h"
#include "common/os/unique_fd.h"

namespace dstack::http {

// The open connections of a server, and the threads that serve them. An idle connection has no thread: the threads wait
// for all connections together, and each that wakes serves the one that has something to read. However many are busy,
// another one waits.
class Connections {
 public:
  // `serve` is called when there is something to read, or the end of a connection: on one of the threads, for many
  // connections at a time, but for each by one. False ends the connection. At most `limit` connections are open, and
  // `idle` is how long one may be silent.
  Connections(std::size_t limit, std::chrono::milliseconds idle, std::function<bool(Connection&)> serve,
              os::Clock& clock = os::system_clock());
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;
  ~Connections() { finish(); }

  // False if too many are open or no thread can be made; then `connection` is as it was.
  bool add(std::unique_ptr<Connection>& connection);

  // Called in `serve`, before the connection's socket is given away: it is not looked at any more.
  void give_away(Connection& connection);

  // Ends those that have been silent for too long. Returns after how many milliseconds that has to be done again; -1
  // for never, until another connection is added.
  int end_silent();

  // Breaks all of them off, also those that are being served.
  void break_off();

  // Ends the idle ones, and waits for the others and for the threads. None is taken any more.
  void finish();

 private:
  void work();
  void begin(Connection& connection);
  // Returns whether there are threads enough that wait without the one that calls this.
  bool end(Connection& connection, bool stays);
  // Starts a thread that waits if none does. False if there is none and none can be made.
  bool ensure_waiting_thread();
  bool leave_if_not_needed(bool was_idle);
  bool try_wait_for(Connection& connection, int operation) const;

  const std::size_t limit_;
  const std::chrono::milliseconds idle_;
  const std::function<bool(Connection&)> serve_;
  os::Clock& clock_;
  const os::UniqueFd poll_;
  const os::Event finished_;
  os::Mutex mutex_;
  std::condition_variable changed_;
  std::map<Connection*, std::unique_ptr<Connection>> open_ DSTACK_GUARDED_BY(mutex_);
  os::SteadyTime next_look_ DSTACK_GUARDED_BY(mutex_);  // for silent ones
  std::size_t threads_ DSTACK_GUARDED_BY(mutex_) = 0;
  std::size_t waiting_ DSTACK_GUARDED_BY(mutex_) = 0;         // of the threads
  os::SteadyTime last_all_busy_ DSTACK_GUARDED_BY(mutex_){};  // when none of the threads waited
  bool finishing_ DSTACK_GUARDED_BY(mutex_) = false;
};

}  // namespace dstack::http
