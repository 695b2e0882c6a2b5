#include "common/os/event.h"

#include <poll.h>

#include <catch2/catch_test_macros.hpp>

using namespace dstack;

namespace {

bool is_readable(const os::Event& event) {
  pollfd descriptor{.fd = event.fd(), .events = POLLIN, .revents = 0};
  return ::poll(&descriptor, 1, 0) == 1;
}

}  // namespace

TEST_CASE("an event is readable from when it is set until it is cleared") {
  const os::Event event;
  CHECK_FALSE(is_readable(event));
  event.set();
  event.set();
  CHECK(is_readable(event));
  event.clear();
  CHECK_FALSE(is_readable(event));
  event.clear();  // does not block
}
