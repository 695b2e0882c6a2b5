#pragma once

#include <deque>
#include <functional>

#include "common/os/event.h"
#include "common/os/mutex.h"

namespace dstack::shim::ci {

// What other threads have for the launcher's own thread to do. post() from any thread.
class Mailbox {
 public:
  void post(std::function<void()> work) {
    const os::Lock lock(mutex_);
    work_.push_back(std::move(work));
    arrived_.set();
  }

  // Readable while there is work.
  int fd() const { return arrived_.fd(); }

  void run_all() {
    std::deque<std::function<void()>> work;
    {
      const os::Lock lock(mutex_);
      work.swap(work_);
      arrived_.clear();
    }
    for (const auto& piece : work) piece();
  }

 private:
  os::Mutex mutex_;
  std::deque<std::function<void()>> work_ DSTACK_GUARDED_BY(mutex_);
  os::Event arrived_;
};

}  // namespace dstack::shim::ci
