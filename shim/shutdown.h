#pragma once

#include <condition_variable>
#include <functional>
#include <optional>
#include <thread>

#include "common/http/server.h"
#include "common/os/clock.h"
#include "common/os/event.h"
#include "common/os/mutex.h"
#include "common/os/unique_fd.h"

namespace dstack::shim {

// Ends the daemon, on SIGINT, SIGTERM or a request: the server accepts no more, requests in flight have 5 s (200 ms
// with force), then their waits and connections are broken off. The process is gone 2 s after that, whatever hangs: the
// journals stand a hard end at any instant. A daemon that only starts just leaves.
class Shutdown {
 public:
  // `signals` is a descriptor of os::block_and_watch.
  Shutdown(http::Server& server, const os::UniqueFd& signals);
  Shutdown(const Shutdown&) = delete;
  Shutdown& operator=(const Shutdown&) = delete;
  // server.run() has returned.
  ~Shutdown();

  // From any thread; returns at once.
  void request(bool force);

  // To be called before server.run(): from here on there may be requests in flight, and `break_off` ends what they wait
  // for. `on_sigterm` is called first after a SIGTERM, and served meanwhile: what is to be done if the host shuts down.
  void serving(std::function<void()> break_off, std::function<void()> on_sigterm = [] {});

  // To be called when server.run() has returned: nothing needs to be broken off any more.
  void served();

 private:
  void watch();
  // The signal; nothing after a request.
  std::optional<int> wait_for_signal();

  os::Clock& clock_ = os::system_clock();
  http::Server& server_;
  const os::UniqueFd& signals_;
  os::Event requested_;

  os::Mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> break_off_ DSTACK_GUARDED_BY(mutex_);  // nothing before serving()
  std::function<void()> on_sigterm_ DSTACK_GUARDED_BY(mutex_);
  bool force_ DSTACK_GUARDED_BY(mutex_) = false;
  bool served_ DSTACK_GUARDED_BY(mutex_) = false;
  bool gone_ DSTACK_GUARDED_BY(mutex_) = false;

  std::thread watcher_;
};

}  // namespace dstack::shim
