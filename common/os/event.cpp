#include "common/os/event.h"

#include <sys/eventfd.h>

#include "common/error.h"

namespace dstack::os {

Event::Event() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!fd_) throw os_error("create an eventfd", "");
}

void Event::set() const noexcept { ::eventfd_write(fd_.get(), 1); }

void Event::clear() const noexcept {
  eventfd_t count = 0;
  ::eventfd_read(fd_.get(), &count);
}

}  // namespace dstack::os
