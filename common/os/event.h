#pragma once

#include "common/os/unique_fd.h"

namespace dstack::os {

// Something that has happened, as a descriptor to poll (eventfd). Any thread may set and clear it, also one that must
// not block or throw: a signal's, a stop callback's.
class Event {
 public:
  Event();  // throws Error
  Event(Event&&) = default;
  Event& operator=(Event&&) = default;

  // fd() is readable from now on, until clear().
  void set() const noexcept;
  void clear() const noexcept;

  int fd() const noexcept { return fd_.get(); }

 private:
  UniqueFd fd_;
};

}  // namespace dstack::os
