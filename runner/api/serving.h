#pragma once

#include <condition_variable>
#include <thread>

#include "common/http/server.h"
#include "common/os/clock.h"
#include "common/os/mutex.h"

namespace dstack::runner::api {

// A server that answers on a thread of its own while this object lives.
class Serving {
 public:
  explicit Serving(http::Server& server, os::Clock& clock = os::system_clock());
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;
  // Lets requests in flight finish for 5 s, then breaks them off.
  ~Serving();

 private:
  http::Server& server_;
  os::Clock& clock_;
  os::Mutex mutex_;
  std::condition_variable changed_;
  bool ended_ DSTACK_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dstack::runner::api
