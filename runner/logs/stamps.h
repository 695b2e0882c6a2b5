#pragma once

#include <cstdint>

#include "common/os/clock.h"
#include "common/os/mutex.h"

namespace dstack::runner {

// The one source of the times that readers see: ms since the epoch. From any thread.
class Stamps {
 public:
  explicit Stamps(os::Clock& clock);

  // The wall clock's time; where that was set back, the time that has passed since. Never less than before.
  std::int64_t now();

  // The time of a new event: never before an earlier event, and later than everything a reader was told of.
  std::int64_t take();

  // The time of the latest event, for a reader's last_updated: from here on take() gives later ones.
  std::int64_t tell();

 private:
  std::int64_t locked_now() DSTACK_REQUIRES(mutex_);

  os::Clock& clock_;
  os::Mutex mutex_;
  std::int64_t ahead_ DSTACK_GUARDED_BY(mutex_) =
      INT64_MIN;  // by how much the wall clock was ahead of the steady one, at most
  std::int64_t latest_ DSTACK_GUARDED_BY(mutex_) = 0;
  std::int64_t earliest_next_ DSTACK_GUARDED_BY(mutex_) = 0;
};

}  // namespace dstack::runner
